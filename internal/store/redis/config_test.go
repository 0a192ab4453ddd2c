package redis

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]Config{
		"redis://redis.demo.svc:6380/3": {Mode: Standalone, Addresses: []string{"redis.demo.svc:6380"}, DB: 3, Prefix: "p"},
		"redis://redis":                 {Mode: Standalone, Addresses: []string{"redis:6379"}, Prefix: "p"},
		"redis://[::1]/":                {Mode: Standalone, Addresses: []string{"[::1]:6379"}, Prefix: "p"},
		"rediss://r:1?replicas=2":       {Mode: Standalone, Addresses: []string{"r:1"}, TLS: true, Prefix: "p", Replicas: 2},
		"redis://r:1?prefix=other&durability=relaxed": {
			Mode: Standalone, Addresses: []string{"r:1"}, Prefix: "other", Relaxed: true,
		},
		"redis://s1:26379/0?mode=sentinel&address=s2:26379&address=s3:26379&master=m": {
			Mode: Sentinel, Addresses: []string{"s1:26379", "s2:26379", "s3:26379"}, Master: "m", Prefix: "p", Replicas: 1,
		},
		"redis://?mode=cluster&address=n1:7000&address=n2:7000&replicas=0&durability=strict": {
			Mode: Cluster, Addresses: []string{"n1:7000", "n2:7000"}, Prefix: "p",
		},
	} {
		want.Dir = "/d"
		got, err := ParseURL(raw, "/d", "p")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", raw, got, err, want)
		}
	}
}

// Every mistake has a message that names it, and none repeats a password.
func TestParseURLRefuses(t *testing.T) {
	for raw, says := range map[string]string{
		"redis://user:hunter2@r:1":              "files username and password",
		"redis://:hunter2@r:1":                  "files username and password",
		"redis://r:port":                        "cannot be read",
		"redis://user:hunter2@r:port":           "cannot be read",
		"http://r":                              "scheme",
		"redis://r/zero":                        "database",
		"redis://r/-1":                          "database",
		"redis://r?mode=twin":                   "mode",
		"redis://r?mode=cluster&mode=cluster":   "more than once",
		"redis://r?mode=sentinel":               "master=NAME",
		"redis://r?master=m":                    "master=NAME",
		"redis://r/1?mode=cluster":              "database 0",
		"redis://r?address=s:1":                 "one address",
		"redis://":                              "no address",
		"redis://r?mode=cluster&address=nohost": "host:port",
		"redis://r?replicas=many":               "replicas",
		"redis://r?replicas=-1":                 "replicas",
		"redis://r?durability=none":             "durability",
		"redis://r?password=hunter2":            "unknown parameter",
		"redis://r?prefix={x}":                  "prefix",
		"redis://r?prefix=":                     "prefix",
	} {
		_, err := ParseURL(raw, "", "p")
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one that says %q", raw, err, says)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats the password: %v", raw, err)
		}
	}
	if _, err := Open(Config{}); err == nil {
		t.Error("an empty configuration was opened")
	}
}
