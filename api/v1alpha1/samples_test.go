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
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var samplesDirectory = filepath.Join("..", "..", "config", "samples")

// readSamples reads the files that the kustomization of a directory of samples lists, in its order.
func readSamples(t *testing.T, directory string) []*unstructured.Unstructured {
	t.Helper()
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(readFile(t, directory, "kustomization.yaml"), &kustomization); err != nil {
		t.Fatal(err)
	}
	var samples []*unstructured.Unstructured
	for _, name := range kustomization.Resources {
		sample := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(readFile(t, directory, name), &sample.Object); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		samples = append(samples, sample)
	}
	files, err := filepath.Glob(filepath.Join(samplesDirectory, directory, "*.yaml"))
	if err != nil || len(files) != len(samples)+1 {
		t.Errorf("%d files, of which the kustomization lists %d: %v", len(files), len(samples), err)
	}
	return samples
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samplesDirectory, filepath.Join(path...)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSamples applies the samples as a newcomer does.
func TestSamples(t *testing.T) {
	ctx := needAPIServer(t)
	kinds := map[string]bool{}
	for _, sample := range readSamples(t, ".") {
		kinds[sample.GetKind()] = true
		if err := apply(ctx, sample); err != nil {
			t.Errorf("%s %s: %v", sample.GetKind(), sample.GetName(), err)
		}
	}
	// A newcomer has no legacy sessions: these are samples of their own.
	for _, sample := range readSamples(t, "legacy-sessions") {
		kinds[sample.GetKind()] = true
		if err := apply(ctx, sample, client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", sample.GetKind(), sample.GetName(), err)
		}
	}
	// Nor does a newcomer bring keys.
	for _, sample := range readSamples(t, "brought-keys") {
		if err := apply(ctx, sample, client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", sample.GetKind(), sample.GetName(), err)
		}
	}
	// Nor does a newcomer revoke anything.
	for _, sample := range readSamples(t, "revocations") {
		kinds[sample.GetKind()] = true
		if err := apply(ctx, sample, client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", sample.GetKind(), sample.GetName(), err)
		}
	}
	for kind := range design {
		if !kinds[kind] {
			t.Errorf("there is no sample of %s", kind)
		}
	}
}

// TestSamplesOfSharedStores applies the samples that need a server: they are not part of the others, and each has a token
// service of several on a shared store, with the Secret that it refers to.
func TestSamplesOfSharedStores(t *testing.T) {
	ctx := needAPIServer(t)
	if text := string(readFile(t, "kustomization.yaml")); strings.Contains(text, "shared") {
		t.Error("a newcomer would get a token service without a server")
	}
	namespace := readSamples(t, ".")[0]
	if err := apply(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"redis", "postgres"} {
		secrets := map[string]bool{}
		for _, sample := range readSamples(t, "shared-"+kind) {
			if err := apply(ctx, sample, client.DryRunAll); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if sample.GetKind() == "Secret" {
				secrets[sample.GetName()] = true
				continue
			}
			name, found, err := unstructured.NestedString(sample.Object, "spec", "store", kind, "secretRef", "name")
			if !found || err != nil || !secrets[name] {
				t.Errorf("%s: the store refers to the Secret %q, which is not there: %v", kind, name, err)
			}
			if replicas, _, err := unstructured.NestedInt64(sample.Object, "spec", "replicas"); err != nil || replicas < 2 {
				t.Errorf("%s: %d replicas: %v", kind, replicas, err)
			}
		}
		if len(secrets) != 1 {
			t.Errorf("%s: Secrets %v", kind, secrets)
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
