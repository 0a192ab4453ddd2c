package stage

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"
)

// Seen is what the application behind nginx answers: who the request is from, as two trusted headers told it.
type Seen struct {
	User   string `json:"user"`
	Role   string `json:"role"`
	Method string `json:"method"`
	Path   string `json:"path"`
}

// application is the small upstream that is protected.
type application struct {
	address string
	server  *http.Server
}

func startApplication() (*application, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Seen{
			User: r.Header.Get("X-Auth-User"), Role: r.Header.Get("X-Auth-Role"),
			Method: r.Header.Get("X-Auth-Method"), Path: r.URL.Path,
		})
	}
	a := &application{address: listener.Addr().String(), server: &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 10 * time.Second}}
	go func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return a, nil
}

func (a *application) stop() { _ = a.server.Close() }
