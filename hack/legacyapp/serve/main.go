// Command serve runs the sample legacy application until it is told to end.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "address")
	redis := flag.String("redis", "127.0.0.1:6379", "host:port of the session store")
	life := flag.Duration("life", 30*time.Minute, "how long a session lives")
	flag.Parse()
	// Secrets come by the environment: a command line can be read by everybody on the machine.
	a, err := legacyapp.Start(*listen, legacyapp.Options{
		Redis: *redis, Life: *life, Secret: os.Getenv("LEGACY_SECRET"), Token: os.Getenv("LEGACY_TOKEN"),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(a.URL())
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	a.Stop()
}
