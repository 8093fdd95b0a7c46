// shoal-go-peer is an independent peer for interoperability tests. It is written from docs/wire/*.md on the libraries
// that go-p2p is built on; it is not go-p2p.
//
//	shoal-go-peer --stack udp,p2pke,frag|mbapp|mux:KIND:ID --bind 127.0.0.1:0 [--seed HEX] [--echo] [--count MS] [--scale PART]
//
// It prints one JSON object a line: {"event":"listening","addr":…}, {"event":"tell","src":…,"dst":…,"payload":<base64>},
// {"event":"ask",…}, {"event":"answer","src":…,"payload":…}, {"event":"session","peer":…,"initiator":…}, {"event":"forgotten","addr":…}, {"event":"error","message":…}. It reads commands, one JSON object a line:
// {"cmd":"tell","dst":…,"payload":<base64>}, {"cmd":"ask",…}, {"cmd":"open","dst":…}, {"cmd":"lose","counter":N,"times":N} (loses its next
// N datagrams with that counter), {"cmd":"flood","dst":…,"bytes":N,"ms":N}, and with --count {"cmd":"count"}. It ends when its input
// does. The stacks udp,quic, ssh and tracker have commands of their own, see quic.go, ssh.go and tracker.go.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Layer is what every layer of a stack is to the one above it.
type Layer interface {
	LocalAddr() string
	// MTU is the most bytes of a message.
	MTU() int
	Tell(dst string, payload []byte) error
	// Receive sets who gets messages; before the first one is sent.
	Receive(func(src string, payload []byte))
	Close()
}

type event struct {
	Event     string  `json:"event"`
	Addr      string  `json:"addr,omitempty"`
	Src       string  `json:"src,omitempty"`
	Dst       string  `json:"dst,omitempty"`
	Payload   []byte  `json:"payload,omitempty"`
	Peer      string  `json:"peer,omitempty"`
	Initiator *bool   `json:"initiator,omitempty"`
	Message   string  `json:"message,omitempty"`
	Sent      int     `json:"sent,omitempty"`
	Received  int     `json:"received,omitempty"`
	Total     int     `json:"total,omitempty"`
	Ms        float64 `json:"ms,omitempty"`
}

var printing sync.Mutex

func emit(e event) {
	printing.Lock()
	defer printing.Unlock()
	line, _ := json.Marshal(e)
	fmt.Println(string(line))
}

type command struct {
	Cmd     string `json:"cmd"`
	Dst     string `json:"dst"`
	Payload []byte `json:"payload"`
	Counter uint32 `json:"counter"`
	Times   int    `json:"times"`
	Bytes   int    `json:"bytes"`
	Ms      int    `json:"ms"`
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "shoal-go-peer:", err)
	os.Exit(2)
}

func main() {
	stack := flag.String("stack", "udp,p2pke", "layers, bottom first")
	bind := flag.String("bind", "127.0.0.1:0", "address to bind to")
	seed := flag.String("seed", strings.Repeat("00", 32), "Ed25519 seed, hexadecimal")
	echo := flag.Bool("echo", false, "tell payloads back, with \"echo:\" before them")
	alpn := flag.String("alpn", "p2p", "application protocol of QUIC")
	noCert := flag.Bool("no-cert", false, "dial QUIC without a certificate")
	count := flag.Int("count", 0, "count messages instead of printing them, after this many milliseconds to warm up")
	scale := flag.Float64("scale", 1, "part of the times after which P2PKE forgets sessions and channels")
	rekey := flag.Uint64("rekey", 0, "bytes after which SSH exchanges keys again; 0: as the library does")
	kad := flag.Bool("kademlia", false, "answer the JSON messages of go-p2p's DHT; the commands kad-ping, kad-find, kad-get, kad-put ask others")
	user := flag.String("user", "", "user name given to SSH servers")
	flag.Parse()
	counter := &counting{warm: time.Duration(*count) * time.Millisecond}

	seedBytes, err := hex.DecodeString(*seed)
	if err != nil || len(seedBytes) != 32 {
		fail(fmt.Errorf("expected a seed of 64 hexadecimal digits"))
	}
	if *stack == "udp,quic" {
		runQuic(*bind, seedBytes, quicOptions{alpn: *alpn, noCert: *noCert})
		return
	}
	if *stack == "tracker" {
		runTracker(*bind, seedBytes)
		return
	}
	if *stack == "ssh" {
		runSSH(*bind, seedBytes, sshOptions{rekeyBytes: *rekey, user: *user})
		return
	}
	var top Layer
	var secure *P2pke
	for _, name := range strings.Split(*stack, ",") {
		switch {
		case name == "udp" && top == nil:
			top, err = openUDP(*bind)
		case name == "p2pke" && top != nil:
			secure = newP2pke(top, seedBytes, *scale)
			top = secure
		case name == "frag" && top != nil:
			top = newFrag(top)
		case name == "mbapp" && top != nil:
			top = newMbapp(top)
		case strings.HasPrefix(name, "mux:") && top != nil:
			top, err = newMux(top, strings.TrimPrefix(name, "mux:"))
		default:
			err = fmt.Errorf("cannot put layer %q here", name)
		}
		if err != nil {
			fail(err)
		}
	}
	defer top.Close()
	top.Receive(func(src string, payload []byte) {
		if *count > 0 {
			counter.note()
			return
		}
		emit(event{Event: "tell", Src: src, Dst: top.LocalAddr(), Payload: payload})
		if *echo {
			if err := top.Tell(src, append([]byte("echo:"), payload...)); err != nil {
				emit(event{Event: "error", Message: err.Error()})
			}
		}
	})
	if asker, ok := top.(Asker); ok {
		asker.Serve(func(src string, request []byte) ([]byte, bool) {
			emit(event{Event: "ask", Src: src, Dst: top.LocalAddr(), Payload: request})
			return append([]byte("echo:"), request...), *echo && string(request) != "refuse"
		})
	}
	var dht *Kademlia
	if asker, ok := top.(Asker); ok && *kad {
		dht = newKademlia(asker)
	}
	emit(event{Event: "listening", Addr: top.LocalAddr()})

	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 4<<20)
	for input.Scan() {
		var c command
		if err := json.Unmarshal(input.Bytes(), &c); err != nil {
			fail(err)
		}
		switch c.Cmd {
		case "tell":
			// Telling waits for a session; the next command must not.
			go func() {
				if err := top.Tell(c.Dst, c.Payload); err != nil {
					emit(event{Event: "error", Dst: c.Dst, Message: err.Error()})
				}
			}()
		case "ask":
			go func() {
				asker, ok := top.(Asker)
				if !ok {
					emit(event{Event: "error", Dst: c.Dst, Message: errNoAsks.Error()})
					return
				}
				answer, err := asker.Ask(c.Dst, c.Payload)
				if err != nil {
					emit(event{Event: "error", Dst: c.Dst, Message: err.Error()})
					return
				}
				emit(event{Event: "answer", Src: c.Dst, Payload: answer})
			}()
		case "kad-ping", "kad-find", "kad-get", "kad-put":
			go func() {
				if dht == nil {
					emit(event{Event: "error", Message: errNoAsks.Error()})
					return
				}
				answer, err := dht.ask(c.Dst, c)
				if err != nil {
					emit(event{Event: "error", Dst: c.Dst, Message: err.Error()})
					return
				}
				emit(event{Event: "answer", Src: c.Dst, Payload: answer})
			}()
		case "open":
			go func() {
				if err := secure.Open(c.Dst); err != nil {
					emit(event{Event: "error", Dst: c.Dst, Message: err.Error()})
				}
			}()
		case "flood":
			go flood(top, c)
		case "count":
			counter.report()
		case "lose":
			secure.Lose(c.Counter, c.Times)
		default:
			fail(fmt.Errorf("unknown command %q", c.Cmd))
		}
	}
}
