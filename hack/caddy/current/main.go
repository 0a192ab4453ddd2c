// Command current is Caddy with its standard modules, as the project itself builds it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/standard"
)

func main() { caddycmd.Main() }
