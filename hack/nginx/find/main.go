// Command find prints the path of an nginx, fetching one if there is none.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/keyturn/keyturn/hack/nginx"
	"github.com/keyturn/keyturn/hack/stage"
)

func main() {
	cache, err := stage.CacheDir()
	if err == nil {
		var path string
		if path, err = nginx.Find(context.Background(), cache, os.Stderr); err == nil {
			fmt.Println(path)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "find nginx:", err)
		os.Exit(1)
	}
}
