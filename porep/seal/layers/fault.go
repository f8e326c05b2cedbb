package layers

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// errFault says that a page of a mapped file could not be had.
var errFault = errors.New("memory fault: the file was cut short, or its disk is full or cannot be read")

// guarded runs f and returns a fault in a mapping as an error; any other panic goes on. A disk that
// fails under a mapping must stop one sector and not the process.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		fault, ok := reason.(interface {
			runtime.Error
			Addr() uintptr
		})
		if !ok {
			panic(reason)
		}
		err = fmt.Errorf("address %#x: %w", fault.Addr(), errFault)
	}()
	return f()
}
