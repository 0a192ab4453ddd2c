// Command sample is what the containers of the cluster's test run.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	port := flag.String("port", "8080", "")
	secret := flag.String("secret", "", "directory whose files /secret/NAME shows")
	data := flag.String("data", "", "directory that takes notes")
	note := flag.String("note", "", "write this note and exit")
	exit := flag.Int("exit", 0, "the code to exit with after a note")
	linger := flag.Duration("linger", 0, "serve so long after SIGTERM")
	feed := flag.String("feed", "", "only shown by /feed")
	flag.Parse()

	take := func(text string) {
		if *data == "" {
			return
		}
		f, err := os.OpenFile(filepath.Join(*data, "notes"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(f, text)
		f.Close()
	}
	if *note != "" {
		take(*note)
		os.Exit(*exit)
	}
	show := func(file string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			b, err := os.ReadFile(file + r.PathValue("name"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			_, _ = w.Write(b)
		}
	}
	var unready, dead atomic.Bool
	check := func(bad *atomic.Bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if bad.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	http.HandleFunc("/ready", check(&unready))
	http.HandleFunc("/live", check(&dead))
	http.HandleFunc("/set", func(_ http.ResponseWriter, r *http.Request) {
		unready.Store(r.FormValue("ready") == "false")
		dead.Store(r.FormValue("live") == "false")
	})
	http.HandleFunc("/secret/{name}", show(*secret+"/"))
	http.HandleFunc("/notes", show(*data+"/notes"))
	http.HandleFunc("/note/{text}", func(_ http.ResponseWriter, r *http.Request) { take(r.PathValue("text")) })
	http.HandleFunc("/feed", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *feed) })
	http.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("/name", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Getenv("POD"), " ", os.Getenv("VERSION"))
	})
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Join(os.Environ(), "\n")) })

	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("KEYTURN_BIND_ADDRESS"), *port))
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { panic(http.Serve(l, nil)) }()
	fmt.Println("listening on", l.Addr())
	<-term
	take("term")
	time.Sleep(*linger)
}
