package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/keyturn/keyturn/hack/postgres"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	server, err := postgres.Start(b.Context(), postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Stop)
	s, err := Open(Config{URL: "postgres://" + server.Address() + "/postgres?sslmode=disable", Dir: func() string {
		d := &database{dir: b.TempDir()}
		d.write(b, "username", postgres.Superuser)
		d.write(b, "password", server.Password)
		return d.dir
	}()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if _, err := s.Last(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(16)
	b.ResetTimer()
	return s
}

func BenchmarkRotate(b *testing.B) {
	s := benchStore(b)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		created, err := s.Create(context.Background(), store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint(n.Add(1))}, Now: storetest.Start, Limits: limits})
		if err != nil {
			b.Error(err)
			return
		}
		token := created.Token
		for pb.Next() {
			r, err := s.Rotate(context.Background(), store.RotateRequest{Token: token, Now: storetest.Start, Limits: limits})
			if err != nil || r.Outcome != store.Rotated {
				b.Error(r.Outcome, err)
				return
			}
			token = r.Successor
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	s := benchStore(b)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Create(context.Background(), store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint(n.Add(1))}, Now: storetest.Start, Limits: limits}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
