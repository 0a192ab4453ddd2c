package v1alpha1_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var samplesDirectory = filepath.Join("..", "..", "config", "samples")

// readSamples reads the files that the samples' kustomization lists, in its order.
func readSamples(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(readFile(t, "kustomization.yaml"), &kustomization); err != nil {
		t.Fatal(err)
	}
	var samples []*unstructured.Unstructured
	for _, name := range kustomization.Resources {
		sample := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(readFile(t, name), &sample.Object); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		samples = append(samples, sample)
	}
	files, err := filepath.Glob(filepath.Join(samplesDirectory, "*.yaml"))
	if err != nil || len(files) != len(samples)+1 {
		t.Errorf("%d files, of which the kustomization lists %d: %v", len(files), len(samples), err)
	}
	return samples
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samplesDirectory, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSamples applies the samples as a newcomer does.
func TestSamples(t *testing.T) {
	ctx := needAPIServer(t)
	kinds := map[string]bool{}
	for _, sample := range readSamples(t) {
		kinds[sample.GetKind()] = true
		if err := apply(ctx, sample); err != nil {
			t.Errorf("%s %s: %v", sample.GetKind(), sample.GetName(), err)
		}
	}
	for kind := range design {
		if !kinds[kind] {
			t.Errorf("there is no sample of %s", kind)
		}
	}
}

// TestSamplePasswords holds the passwords in the comment to the hashes below it.
func TestSamplePasswords(t *testing.T) {
	text := string(readFile(t, "users.yaml"))
	var secret struct {
		StringData map[string]string `json:"stringData"`
	}
	if err := yaml.Unmarshal([]byte(text), &secret); err != nil {
		t.Fatal(err)
	}
	checks := map[string]func(hash, password string) bool{"alice": isBcrypt, "bob": isArgon2id}
	for line := range strings.Lines(secret.StringData["htpasswd"]) {
		name, hash, _ := strings.Cut(strings.TrimSpace(line), ":")
		password := "sample-password-" + name
		if !strings.Contains(text, name+" has "+password) {
			t.Errorf("the comment does not tell the password of %s", name)
		}
		if check := checks[name]; check == nil || !check(hash, password) {
			t.Errorf("the hash of %s is not that of the password in the comment", name)
		}
		delete(checks, name)
	}
	if len(checks) > 0 {
		t.Errorf("these users are missing: %v", checks)
	}
}

func isBcrypt(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

func isArgon2id(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != "v=19" || parts[3] != "m=19456,t=2,p=1" {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	key := argon2.IDKey([]byte(password), salt, 2, 19456, 1, 32)
	return base64.RawStdEncoding.EncodeToString(key) == parts[5]
}
