// Package check is what the Go drivers share: one line of output per feature, see ../../README.md.
package check

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// Version prints the version of the client's module that this program was built with.
func Version(module string) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				fmt.Println("version", strings.TrimPrefix(dependency.Version, "v"))
			}
		}
	}
}

// Feature runs one feature; a failed check ends it, not the program.
func Feature(name string, body func()) {
	defer func() {
		if e := recover(); e != nil {
			fmt.Printf("FAIL %s: %s\n", name, strings.ReplaceAll(fmt.Sprint(e), "\n", " "))
			if os.Getenv("COMPAT_TRACE") != "" {
				debug.PrintStack()
			}
		}
	}()
	body()
	fmt.Println("ok " + name)
}

// Must fails the feature when there is an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// That fails the feature when the condition does not hold.
func That(what string, holds bool) {
	if !holds {
		panic(what)
	}
}

// Equal fails the feature when got is not want.
func Equal[T comparable](what string, got, want T) {
	if got != want {
		panic(fmt.Sprintf("%s: got %v, want %v", what, got, want))
	}
}
