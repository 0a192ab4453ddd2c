package plugin

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/term"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
)

// Passwords is where a new password comes from.
type Passwords interface {
	// New asks for a password for a user; each reader reads once.
	New(user string) (secret.Text, error)
}

// PipedPassword reads one line, for --password-stdin.
type PipedPassword struct{ From io.Reader }

// New takes the only line; one line end at its end is not part of it.
func (p PipedPassword) New(string) (secret.Text, error) {
	raw, err := io.ReadAll(io.LimitReader(bufio.NewReader(p.From), identity.MaxPasswordBytes+3))
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading the password: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if strings.ContainsAny(line, "\r\n") {
		return secret.Text{}, errors.New("standard input has more than one line: a password is one line")
	}
	return secret.NewText(line), nil
}

// TypedPassword asks twice on a terminal, without echo.
type TypedPassword struct {
	Terminal *os.File
	Prompt   io.Writer
	// read is term.ReadPassword, or what a test puts in its place.
	read func() ([]byte, error)
}

// New asks twice.
func (p TypedPassword) New(user string) (secret.Text, error) {
	read := p.read
	if read == nil {
		if !term.IsTerminal(int(p.Terminal.Fd())) {
			return secret.Text{}, &Trouble{What: "there is no terminal to ask for a password", Mend: "pipe it in with --password-stdin"}
		}
		read = func() ([]byte, error) { return term.ReadPassword(int(p.Terminal.Fd())) }
	}
	var typed [2]secret.Text
	for i, words := range []string{"Password for " + clean(user) + ": ", "The same again: "} {
		_, _ = fmt.Fprint(p.Prompt, words)
		raw, err := read()
		_, _ = fmt.Fprintln(p.Prompt)
		if err != nil {
			return secret.Text{}, fmt.Errorf("reading the password: %w", err)
		}
		typed[i] = secret.NewText(string(raw))
	}
	if !typed[0].Equal(typed[1]) {
		return secret.Text{}, errors.New("the two passwords differ: nothing was changed")
	}
	return typed[0], nil
}

// checkPassword refuses what no login could use.
func checkPassword(password secret.Text) error {
	switch p := password.Reveal(); {
	case p == "":
		return errors.New("the password is empty: nothing was changed")
	case len(p) > identity.MaxPasswordBytes:
		return identity.ErrPasswordTooLong
	case !utf8.ValidString(p):
		return errors.New("the password is not UTF-8: no login could send it")
	}
	return nil
}

// The passwords that are tried first.
var common = []string{
	"password", "passw0rd", "password1", "password123", "12345678", "123456789", "1234567890", "qwertyui", "qwerty123", "qwertyuiop",
	"11111111", "iloveyou", "sunshine", "princess", "football", "baseball", "letmein1", "trustno1", "superman", "changeme", "admin123",
}

// shortest is how many characters a password should have (NIST SP 800-63B, section 5.1.1.1).
const shortest = 8

// weakness says why a password is easy to guess; empty if nothing speaks against it.
func weakness(name string, password secret.Text) string {
	p := password.Reveal()
	lower := strings.ToLower(p)
	switch {
	case utf8.RuneCountInString(p) < shortest:
		return fmt.Sprintf("has fewer than %d characters", shortest)
	case strings.Contains(lower, strings.ToLower(name)) && utf8.RuneCountInString(p) < utf8.RuneCountInString(name)+shortest:
		return "is little more than the name"
	case len(strings.Trim(p, p[:1])) == 0:
		return "is one character again and again"
	case strings.Trim(p, "0123456789") == "" && len(p) < 12:
		return "is a short number"
	}
	for _, c := range common {
		if lower == c {
			return "is one of those that are tried first"
		}
	}
	return ""
}

// The cost of a new hash: argon2id with 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet).
const (
	argonMemory  = 19456 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16 // bytes
	argonTag     = 32 // bytes
)

// hashOf makes a PHC string.
func hashOf(password secret.Text) secret.Text {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails
	tag := argon2.IDKey([]byte(password.Reveal()), salt, argonTime, argonMemory, argonThreads, argonTag)
	b64 := base64.RawStdEncoding.EncodeToString
	return secret.NewText(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(tag)))
}
