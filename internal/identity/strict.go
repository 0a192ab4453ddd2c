package identity

import "github.com/keyturn/keyturn/internal/strictjson"

// object is a JSON object of a token, a key or an answer.
type object = strictjson.Object
