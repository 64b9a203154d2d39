// Command sessions signs many users in through a proxy, being their IdP itself.
//
// It serves the least OpenID provider that usher (or another proxy) accepts, drives the whole sign-in for each user over
// HTTP, uses each session once, and prints one JSON object: how many, how long, and the cookie of the last session.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type result struct {
	SignIns int     `json:"sign_ins"`
	Seconds float64 `json:"seconds"`
	PerSec  float64 `json:"per_second"`
	Cookie  string  `json:"cookie"`
	Body    string  `json:"body"`
}

func main() {
	listen := flag.String("idp", "127.0.0.1:9400", "address on which to be the IdP")
	target := flag.String("proxy", "", "origin of the proxy: http://localhost:4180")
	start := flag.String("start", "/_usher/sign-in/bench?return_to=/", "path that begins a sign-in")
	use := flag.String("use", "/", "path that each new session asks for; it must answer 200")
	count := flag.Int("count", 1, "sessions to make")
	users := flag.Int("users", 0, "different users among them; 0: one for each session")
	first := flag.Int("first", 0, "number of the first user")
	workers := flag.Int("workers", 16, "sign-ins at a time")
	hold := flag.Bool("hold", false, "stay the IdP until standard input ends")
	flag.Parse()
	if *users == 0 {
		*users = *count
	}

	op, err := newProvider("http://" + *listen)
	fail(err)
	listener, err := net.Listen("tcp", *listen)
	fail(err)
	go func() { fail(http.Serve(listener, op.handler())) }()

	if *target != "" {
		answer, err := drive(op, *target, *start, *use, *count, *first, *users, *workers)
		fail(err)
		fail(json.NewEncoder(os.Stdout).Encode(answer))
	}
	if *hold {
		buffer := make([]byte, 1)
		for {
			if _, err := os.Stdin.Read(buffer); err != nil {
				return
			}
		}
	}
}

func drive(op *provider, target, start, use string, count, first, users, workers int) (result, error) {
	var next, done atomic.Int64
	var last result
	var failure error
	var lock sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for worker := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			// Addresses of their own: a limit for each client address must not slow a benchmark of something else.
			client := newClient(worker)
			for {
				number := int(next.Add(1)) - 1
				if number >= count {
					return
				}
				cookie, body, err := signIn(client, op, target, start, use, first+number%users)
				lock.Lock()
				if err != nil && failure == nil {
					failure = fmt.Errorf("sign-in %d: %w", number, err)
				}
				stop := failure != nil
				if err == nil {
					last.Cookie, last.Body = cookie, body
				}
				lock.Unlock()
				if stop {
					return
				}
				if made := done.Add(1); made%10000 == 0 {
					fmt.Fprintf(os.Stderr, "%d sessions after %.0f s\n", made, time.Since(began).Seconds())
				}
			}
		}()
	}
	group.Wait()
	last.SignIns = int(done.Load())
	last.Seconds = time.Since(began).Seconds()
	last.PerSec = float64(last.SignIns) / last.Seconds
	return last, failure
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sessions:", err)
		os.Exit(1)
	}
}
