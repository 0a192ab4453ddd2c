package tokenhttp

import (
	"io"
	"log"
	"net/http"
	"time"
)

// NewServer returns a server whose times and sizes are bounded. A logout extends its own write deadline.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// The library's messages quote what clients send.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}
