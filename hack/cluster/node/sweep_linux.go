package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// sweepLimit is how long what a dead node leaves may take to become removable: the kernel takes namespaces down late.
const sweepLimit = 20 * time.Second

// sweeper is the process that removes what a node leaves, also when this process dies without a word.
type sweeper struct {
	word io.WriteCloser
	wait func() error
}

// startSweeper starts it in a session of its own, so that neither Ctrl-C nor a kill of the driver's group reaches it.
// dir is removed too if this process dies; it may be empty.
func startSweeper(slot int, lock *os.File, dir string) (*sweeper, error) {
	cmd := again(roleSweeper, strconv.Itoa(slot), dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = os.Stderr
	if lock != nil { // the slot stays taken until it is swept
		cmd.ExtraFiles = []*os.File{lock}
	}
	word, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the sweeper: %w", err)
	}
	return &sweeper{word, cmd.Wait}, nil
}

// sweep lets the sweeper do its work, all but the removal of the directory, and waits for it.
func (s *sweeper) sweep() error {
	_, err := s.word.Write([]byte("stopped"))
	return errors.Join(err, s.word.Close(), s.wait())
}

// watchAndSweep is the sweeper. The pipe from the driver ends when the driver does.
func watchAndSweep(args []string) error {
	word, err := io.ReadAll(os.Stdin)
	if err != nil || len(args) != 2 {
		return fmt.Errorf("arguments %v: %w", args, err)
	}
	slot, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := sweep(slot); err != nil {
		return err
	}
	if string(word) == "stopped" || args[1] == "" {
		return nil
	}
	return retry(func() error { return os.RemoveAll(args[1]) }) // others may still be writing into it
}

// sweep removes what a node of the slot has left, and waits until that is possible. It must not be alive.
func sweep(slot int) error {
	return retry(func() error { return errors.Join(removeLink(slot), removeCgroups(slot)) })
}

func retry(do func() error) error {
	for deadline := time.Now().Add(sweepLimit); ; <-time.After(20 * time.Millisecond) {
		err := do()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
