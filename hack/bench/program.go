package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// addresses finds the line in which a program tells where it listens.
func addresses(log []byte, key string) (address, internal string) {
	for line := range bytes.Lines(log) {
		var said map[string]any
		if json.Unmarshal(line, &said) != nil || said[key] == nil {
			continue
		}
		address, _ = said[key].(string)
		for _, name := range []string{"internal_listen", "internal"} {
			if found, ok := said[name].(string); ok {
				internal = found
			}
		}
		return address, internal
	}
	return "", ""
}

func ready(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// metric reads a number from a program's internal port.
func metric(ctx context.Context, internal, name string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+internal+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // read to the end
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			number, err := strconv.ParseFloat(value, 64)
			return int(number), err
		}
	}
	return 0, fmt.Errorf("%s does not tell %s", internal, name)
}
