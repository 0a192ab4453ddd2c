package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// PutLease implements [store.Leases]. Where replicas must acknowledge revocations, they must acknowledge leases too: a
// primary that is cut off from them would go on granting leases to edges that hear of no revocation any more.
func (s *Store) PutLease(ctx context.Context, edge string, applied uint64, length time.Duration) error {
	_, err := s.run(ctx, scriptLease, func([]any) bool { return true }, "", "put", edge, strconv.FormatUint(applied, 10), max(length, 0).Milliseconds())
	return err
}

// DropLease implements [store.Leases].
func (s *Store) DropLease(ctx context.Context, edge string) error {
	_, err := s.run(ctx, scriptLease, nil, "", "drop", edge)
	return err
}

// Leases implements [store.Leases]. Kept is 0 at the first look at a server, and again when another one took over, or this
// one was restarted or emptied.
func (s *Store) Leases(ctx context.Context) (store.LeaseTable, error) {
	reply, err := s.run(ctx, scriptLease, nil, "", "list")
	if err != nil {
		return store.LeaseTable{}, err
	}
	table := store.LeaseTable{Kept: time.Since(s.known.get().since)}
	if len(reply) != 1 {
		return store.LeaseTable{}, unavailable(errBadReply)
	}
	list, _ := reply[0].([]any)
	for _, v := range list {
		l, ok := leaseOf(v)
		if !ok {
			return store.LeaseTable{}, unavailable(errBadReply)
		}
		table.Leases = append(table.Leases, l)
	}
	return table, nil
}

func leaseOf(v any) (store.Lease, bool) {
	part, _ := v.([]any)
	if len(part) != 3 {
		return store.Lease{}, false
	}
	edge, ok1 := part[0].(string)
	applied, ok2 := part[1].(string)
	left, ok3 := part[2].(string)
	number, err1 := strconv.ParseUint(applied, 10, 64)
	ms, err2 := strconv.ParseInt(left, 10, 64)
	ok := ok1 && ok2 && ok3 && err1 == nil && err2 == nil
	return store.Lease{Edge: edge, Applied: number, Left: time.Duration(ms) * time.Millisecond}, ok
}
