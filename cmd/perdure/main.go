// Command perdure is the whole of Perdure in one program: chain node, miner, client and tools.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

// run runs the command line of the process and returns its exit code. A first interrupt cancels
// what the command does; a second one ends the process.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return execute(ctx, newRoot(), os.Args[1:])
}
