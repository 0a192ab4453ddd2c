package tokenhttp

import (
	"io"
	"log"
	"net/http"
	"time"
)

// NewServer returns a server whose times and sizes are bounded: 5 s for the headers, 10 s for a whole request, 30 s for
// the answer, two minutes of silence; 16 KiB of headers; 64 requests at once on one HTTP/2 connection, one on HTTP/1.1. A
// logout extends its own write deadline. Whoever listens bounds the connections.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 64, WriteByteTimeout: 10 * time.Second},
		// The library would answer `OPTIONS *` by itself, without a code.
		DisableGeneralOptionsHandler: true,
		// The library's messages quote what clients send.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}
