package tokentest

import (
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// numberAttacks are instants that one reader takes for another than the next one does.
func numberAttacks() []attack {
	var attacks []attack
	for _, name := range []string{"exp", "iat", "nbf"} {
		for _, a := range []struct{ what, text string }{
			{"fraction", "1800000900.5"}, {"fraction of zero", "1800000900.0"}, {"exponent", "1.8e9"}, {"exponent without a point", "18E8"}, {"exponent of zero", "1800000900e0"}, {"negative exponent", "18000009000e-1"},
			{"past a float", "1e400"}, {"past int64", "9223372036854775808"}, {"wraps round to a good one", "18446744075509552516"}, {"past int32 twice", "6094968196999"}, {"past the year 9999", "253402300800"},
			{"negative", "-1"}, {"smallest int64", "-9223372036854775808"}, {"minus zero", "-0"}, {"milliseconds", "1800000900000"}, {"smaller than any float", "1e-400"},
			{"seventeen digits of nothing", "0.00000000000000001"}, {"thousands of digits", "1" + strings.Repeat("0", 3000)}, {"text of a date", `"2027-01-15T08:00:00Z"`}, {"text NaN", `"NaN"`}, {"array of one", "[1800000900]"},
		} {
			attacks = append(attacks, attack{name, a.what, "RFC 7519 §2", malformed, literal(name, a.text), nil})
		}
	}
	return attacks
}

func (f *forged) skew() int64 { return int64(f.Skew.Seconds()) }
func (f *forged) ttl() int64  { return int64(f.MaxTTL.Seconds()) }

const (
	notYet  = policy.NotYetValid
	expired = policy.ReasonExpired
	tooLong = policy.LifetimeTooLong
)

// timeAttacks are too old, too young or too long, many by one second.
var timeAttacks = []attack{
	{"exp", "the last second of the skew is over", "RFC 7519 §4.1.4", expired, all(old, instant("exp", func(f *forged) int64 { return -f.skew() })), nil},
	{"exp", "a second later", "RFC 7519 §4.1.4", expired, all(old, instant("exp", func(f *forged) int64 { return -f.skew() - 1 })), nil},
	{"exp", "an hour ago", "RFC 7519 §4.1.4", expired, all(old, instant("exp", func(*forged) int64 { return -3600 })), nil},
	{"exp", "zero", "RFC 7519 §4.1.4", expired, literal("exp", "0"), nil},
	{"exp", "one", "RFC 7519 §4.1.4", expired, literal("exp", "1"), nil},
	{"exp", "past, of no known key", "RFC 7519 §4.1.4", expired, all(old, instant("exp", func(*forged) int64 { return -3600 }), header("kid", "gone")), nil},
	{"exp", "past, and not signed well", "RFC 7519 §4.1.4", expired, all(old, instant("exp", func(*forged) int64 { return -3600 }), fixed([]byte{1})), nil},
	{"exp", "past, and alg none", "RFC 7519 §4.1.4", expired, all(old, instant("exp", func(*forged) int64 { return -3600 }), header("alg", "none")), nil},
	{"exp", "a second past the longest life", "RFC 9068 §5", tooLong, instant("exp", func(f *forged) int64 { return f.ttl() + 1 }), nil},
	{"exp", "the skew past the longest life", "RFC 9068 §5", tooLong, instant("exp", func(f *forged) int64 { return f.ttl() + f.skew() }), nil},
	{"exp", "the longest life of one from the future, and a second", "RFC 9068 §5", tooLong, all(instant("iat", func(f *forged) int64 { return f.skew() }), instant("exp", func(f *forged) int64 { return f.skew() + f.ttl() + 1 })), nil},
	{"exp", "a year away", "RFC 9068 §5", tooLong, instant("exp", func(*forged) int64 { return 365 * 86400 }), nil},
	{"exp", "the end of time", "RFC 9068 §5", tooLong, literal("exp", "253402300799"), nil},
	{"exp", "the end of int32", "RFC 9068 §5", tooLong, literal("exp", "4294967295"), nil},
	{"exp", "the same as iat", "RFC 7519 §4.1.4", tooLong, instant("exp", func(*forged) int64 { return 0 }), nil},
	{"exp", "before iat", "RFC 7519 §4.1.4", tooLong, all(instant("exp", func(*forged) int64 { return 10 }), instant("iat", func(*forged) int64 { return 20 })), nil},
	{"iat", "a second past the skew", "RFC 7519 §4.1.6", notYet, instant("iat", func(f *forged) int64 { return f.skew() + 1 }), nil},
	{"iat", "tomorrow", "RFC 7519 §4.1.6", notYet, all(instant("iat", func(*forged) int64 { return 86400 }), instant("exp", func(*forged) int64 { return 86400 + 900 })), nil},
	{"iat", "zero", "RFC 9068 §5", tooLong, literal("iat", "0"), nil},
	{"iat", "yesterday", "RFC 9068 §5", tooLong, instant("iat", func(*forged) int64 { return -86400 }), nil},
	{"nbf", "a second past the skew", "RFC 7519 §4.1.5", notYet, instant("nbf", func(f *forged) int64 { return f.skew() + 1 }), nil},
	{"nbf", "tomorrow", "RFC 7519 §4.1.5", notYet, instant("nbf", func(*forged) int64 { return 86400 }), nil},
	{"nbf", "after exp", "RFC 7519 §4.1.5", notYet, instant("nbf", func(*forged) int64 { return 1800 }), nil},
	{"nbf", "the end of time", "RFC 7519 §4.1.5", notYet, literal("nbf", "253402300799"), nil},
}

// old makes the token an hour and a half old, so that only exp tells whether it is still good.
func old(f *forged) { f.payload["iat"] = f.Now.Unix() - 5400 }
