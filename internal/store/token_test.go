package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func TestTokens(t *testing.T) {
	first := store.NewToken()
	next := first.Next()
	if first.Family() != next.Family() || first.Hash() == next.Hash() || store.NewToken().Family() == first.Family() {
		t.Error("families or hashes are mixed up")
	}
	text := first.Text().Reveal()
	parsed, err := store.ParseToken(secret.NewText(text))
	if err != nil || parsed.Hash() != first.Hash() || !strings.HasPrefix(text, "ktr_") {
		t.Errorf("ParseToken(%d characters): %v", len(text), err)
	}
	sealed := first.Seal(next)
	if got, err := first.Unseal(sealed); err != nil || got.Hash() != next.Hash() {
		t.Errorf("Unseal: %v", err)
	}
	if _, err := next.Unseal(sealed); err == nil {
		t.Error("another token of the family opened the successor")
	}
	for n := range len(sealed) {
		damaged := append([]byte(nil), sealed...)
		damaged[n] ^= 1
		if _, err := first.Unseal(damaged); err == nil {
			t.Fatalf("byte %d changed, still opened", n)
		}
		if _, err := first.Unseal(sealed[:n]); err == nil {
			t.Fatalf("cut to %d bytes, still opened", n)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s", first, first, &first, first.Text()); strings.Contains(s, text[4:]) || strings.Contains(s, "0x") && strings.Contains(s, "byte{") {
		t.Errorf("a token prints itself: %s", s)
	}
}

func FuzzParseToken(f *testing.F) {
	good := store.NewToken().Text().Reveal()
	for _, seed := range []string{good, "", "ktr_", good[4:], good + "A", good[:len(good)-1], strings.ToUpper(good), good[:30] + "\n" + good[30:], good[:30] + "\n" + good[31:], good[:20] + "=" + good[21:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := store.ParseToken(secret.NewText(text))
		if err == nil && token.Text().Reveal() != text {
			t.Errorf("%q is a second spelling of a token", text)
		}
		if err != nil && text == good {
			t.Error("a good token was refused")
		}
	})
}

func TestTokenHashText(t *testing.T) {
	hash := store.NewToken().Hash()
	text, err := hash.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var again store.TokenHash
	if err := again.UnmarshalText(text); err != nil || !again.Equal(hash) {
		t.Errorf("%v, %v", again, err)
	}
	for _, bad := range []string{"", "abc", string(text) + "AAAA", string(text)[:42] + "!"} {
		if err := again.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a hash", bad)
		}
	}
}

func TestDeriveToken(t *testing.T) {
	const issuer = "https://auth.example.com"
	token := store.DeriveToken(secret.NewText("s%3Aabc.def"), issuer)
	if again := store.DeriveToken(secret.NewText("s%3Aabc.def"), issuer); again.Text().Reveal() != token.Text().Reveal() {
		t.Error("the same cookie gives another token")
	}
	for _, other := range []store.Token{store.DeriveToken(secret.NewText("s%3Aabc.deg"), issuer), store.DeriveToken(secret.NewText("s%3Aabc.def"), issuer+"/b"), store.NewToken()} {
		if other.Family() == token.Family() || other.Hash().Equal(token.Hash()) {
			t.Error("another cookie or issuer gives the same token")
		}
	}
	if parsed, err := store.ParseToken(token.Text()); err != nil || parsed.Family() != token.Family() || parsed.Zero() || !(store.Token{}).Zero() {
		t.Errorf("a derived token is none: %v", err)
	}
	if strings.Contains(token.Text().Reveal(), "abc") {
		t.Error("the cookie can be read in the token")
	}
}
