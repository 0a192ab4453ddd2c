package tokenhttp

import "net/http"

// aside serves each request on a goroutine of its own. That of the connection then keeps the small stack that waiting for
// the next request takes: with ten thousand connections, the stacks that a signature needs are tens of megabytes. A panic
// goes on where the server expects it.
func aside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended := make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			next.ServeHTTP(w, r)
		}()
		if v := <-ended; v != nil {
			panic(v)
		}
	})
}
