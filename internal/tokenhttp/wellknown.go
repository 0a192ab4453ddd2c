package tokenhttp

import (
	"net/http"
	"strconv"
	"strings"
)

// cached serves an answer that caches may keep, with a strong validator.
func (s *Service) cached(of func(*Document) cachable) func(http.ResponseWriter, *http.Request) *Problem {
	return func(w http.ResponseWriter, r *http.Request) *Problem {
		doc := s.Document()
		if doc == nil {
			return errNotReady
		}
		answer := of(doc)
		h := w.Header()
		h.Set("ETag", answer.etag)
		h.Set("Cache-Control", answer.control)
		if matchesETag(r.Header.Values("If-None-Match"), answer.etag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(answer.body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(answer.body) // the client is gone if this fails
		}
		return nil
	}
}

// matchesETag compares weakly, as RFC 9110, section 13.1.2 wants.
func matchesETag(header []string, etag string) bool {
	for _, line := range header {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
				return true
			}
		}
	}
	return false
}
