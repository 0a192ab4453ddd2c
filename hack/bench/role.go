package main

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
)

// roleEnv makes this program one of the processes that it compares with. They are processes of their own, as the
// services are: with the same Go, the same GOMAXPROCS, and nothing of the load in them.
const roleEnv = "KEYTURN_BENCH_ROLE"

// playRole plays the part that the environment names and tells whether it names one.
func playRole() bool {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		return false
	case "crypto":
		err = playCrypto(os.Stdin, os.Stdout)
	case "null":
		err = playNull(os.Stdout)
	case "barecheck":
		err = playBareCheck(os.Stdout, os.Args[1:])
	case loadRole:
		err = playLoad(os.Stdin, os.Stdout, os.Args[1:])
	case pinnedRole:
		err = playPinned(os.Args[1:])
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	return true
}

// playCrypto computes what it is told, `sign COUNT WORKERS` or `hash COUNT WORKERS` a line, and answers each with a line.
func playCrypto(in io.Reader, out io.Writer) error {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return err
	}
	digest, salt := sha256.Sum256([]byte(password)), make([]byte, 16)
	work := map[string]func(){
		"sign": func() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
				panic(err)
			}
		},
		"hash": func() { argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonTag) },
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var name string
		var count, workers int
		if _, err := fmt.Sscan(lines.Text(), &name, &count, &workers); err != nil || work[name] == nil || workers < 1 {
			return fmt.Errorf("not understood: %q", lines.Text())
		}
		var group sync.WaitGroup
		for k := range workers {
			group.Go(func() {
				for i := k; i < count; i += workers {
					work[name]()
				}
			})
		}
		group.Wait()
		if _, err := fmt.Fprintln(out, "done"); err != nil {
			return err
		}
	}
	return nil
}

// playNull is the least that a server of net/http can do: fixed answers of the size of the real ones. It says its address.
func playNull(out io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := []byte(`{"access_token":"` + strings.Repeat("a", accessBytes) + `","token_type":"Bearer","expires_in":900,"refresh_token":"` +
		strings.Repeat("r", refreshBytes) + `","refresh_expires_in":604800,"propagated":true}` + "\n")
	length := strconv.Itoa(len(body))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // a check
			w.Header().Set("X-Auth-User", "people:person-1")
			w.WriteHeader(http.StatusOK)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(body)
	})
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	return http.Serve(listener, handler) //nolint:gosec // a baseline without bounds, on loopback
}
