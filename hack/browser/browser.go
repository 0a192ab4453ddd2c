// Package browser runs a real headless Chromium, and a small application with cookies that people open in it:
//
//	Chromium ──TLS──▶ nginx (docs/ingress/nginx.conf, $keyturn_cookies yes) ──▶ sample pages
//	                    └──/auth/──▶ tokenservice
//
// The tests are what a person does: log in, come back after the token has expired, use two tabs, log out.
package browser

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/keyturn/keyturn/hack/debian"
)

// Chromium is a browser on this machine.
type Chromium struct {
	// Path is the program, Environment what it needs beside this process's.
	Path        string
	Environment []string
}

// Find returns the Chromium on PATH, or Debian's package, unpacked into the directory cache. Nothing is installed.
func Find(ctx context.Context, cache string, progress io.Writer) (Chromium, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return Chromium{Path: path}, nil
		}
	}
	root := filepath.Join(cache, "chromium")
	if err := debian.Unpack(ctx, root, progress, "chromium", "fonts-dejavu-core"); err != nil {
		return Chromium{}, fmt.Errorf("chromium: %w", err)
	}
	// The package's own launcher reads /etc/chromium: the program itself is what can run anywhere.
	path := filepath.Join(root, "usr", "lib", "chromium", "chromium")
	if _, err := os.Stat(path); err != nil {
		return Chromium{}, fmt.Errorf("the package chromium has no %s: install chromium by the system's package manager", path)
	}
	return Chromium{Path: path, Environment: debian.Environment(root)}, nil
}

// startLimit bounds how long the browser may take until it listens. On a machine with other work to do it takes many times longer
// than on one without.
const startLimit = time.Minute

// Start starts the browser with an empty profile in dir and returns a context of its first tab. It trusts every
// certificate, because the one here was made a moment ago. It ends with the context.
func (c Chromium) Start(ctx context.Context, dir string) (context.Context, context.CancelFunc, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(c.Path), chromedp.Env(c.Environment...), chromedp.UserDataDir(dir),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(startLimit),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses root; it opens our own pages only
	}
	allocated, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	tab, cancelTab := chromedp.NewContext(allocated)
	end := func() { cancelTab(); cancelAllocator() }
	if err := chromedp.Do(tab); err != nil { // here, because a browser lives as long as the context of its first act
		end()
		return nil, nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return tab, end, nil
}
