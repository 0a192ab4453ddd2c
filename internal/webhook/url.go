package webhook

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// CheckURL tells whether a URL may be asked: https, or http where the way does not leave the pod or the cluster. query
// allows a query. The error never quotes the URL.
func CheckURL(text string, query bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return errors.New("is not a URL such as https://accounts.example.com/check") // the library's error quotes it
	}
	if u.User != nil || u.Fragment != "" || (!query && (u.RawQuery != "" || u.ForceQuery)) {
		return errors.New("must not have a user name, a password or a fragment, and that of an issuer no query: put credentials into files")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !Inside(text)) {
		return errors.New("must be https; http is for loopback hosts and Services of the cluster (NAME.NAMESPACE.svc) only")
	}
	return nil
}

// Inside tells whether the way to the URL's host does not leave the pod or the cluster. The names under .svc exist in a
// cluster's own DNS only.
func Inside(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return IsLoopback(text) || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local")
}

// IsLoopback tells whether the URL's host is this machine, or this pod.
func IsLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	address := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || address != nil && address.IsLoopback()
}
