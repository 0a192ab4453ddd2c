package tokenhttp

import (
	"strconv"
	"testing"
)

// One parameter more than allowed is refused, whoever would have taken the rest.
func TestFormBound(t *testing.T) {
	body := ""
	for i := range maxParameters {
		body += "&a" + strconv.Itoa(i) + "=x"
	}
	if got, p := decodeForm(body); p != nil || len(got) != maxParameters {
		t.Errorf("%d parameters: %v", maxParameters, p)
	}
	if _, p := decodeForm(body + "&b=x"); p == nil {
		t.Errorf("%d parameters were taken", maxParameters+1)
	}
}
