package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha3"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/nacl/secretbox"
)

// The tracker of go-p2p, both sides, from docs/wire/cells.md: `--stack tracker` serves cells over HTTP, and the commands announce (dst: a token,
// payload: an address) and lookup (dst: a token) are those of its client, for the peer of the seed.

const maxCell = 32768

var b64 = base64.URLEncoding

type trackerAddr struct {
	Addr      string        `json:"addr"`
	Timestamp time.Time     `json:"timestamp"`
	TTL       time.Duration `json:"ttl"`
}

type trackerState struct {
	Peers map[string][]trackerAddr `json:"peers"`
}

type token struct {
	url    string
	signer ed25519.PrivateKey
	seal   [32]byte
}

// expand is HKDF-Expand of one block with SHA3-256, without the extraction.
func expand(secret []byte, info string) []byte {
	mac := hmac.New(func() hash.Hash { return sha3.New256() }, secret)
	mac.Write([]byte(info))
	mac.Write([]byte{1})
	return mac.Sum(nil)
}

func parseToken(text string) (*token, error) {
	url, fragment, ok := strings.Cut(text, "#")
	secret, err := b64.DecodeString(fragment)
	if !ok || err != nil || len(secret) != 32 {
		return nil, errors.New("no token")
	}
	t := &token{url: url, signer: ed25519.NewKeyFromSeed(expand(secret, "ed25519-private-key"))}
	copy(t.seal[:], expand(secret, "secretbox-symmetric-key"))
	if !strings.HasSuffix(url, "/"+peerIDOf(t.signer.Public().(ed25519.PublicKey))) {
		return nil, errors.New("the token is of another cell")
	}
	return t, nil
}

func presig(payload []byte) []byte {
	h := sha3.NewCSHAKE256(nil, []byte("p2p/cell-tracker"))
	h.Write(payload)
	out := make([]byte, 64)
	h.Read(out)
	return out
}

func (t *token) wrap(state trackerState) []byte {
	text, _ := json.Marshal(state)
	var nonce [24]byte
	rand.Read(nonce[:])
	box := secretbox.Seal(nonce[:], text, &nonce, &t.seal)
	cell := binary.BigEndian.AppendUint32(nil, uint32(len(box)))
	cell = append(cell, box...)
	return append(cell, ed25519.Sign(t.signer, presig(box))...)
}

// split takes a cell apart: the box and the signature.
func split(cell []byte) ([]byte, []byte, bool) {
	if len(cell) < 68 || uint64(binary.BigEndian.Uint32(cell)) != uint64(len(cell)-68) {
		return nil, nil, false
	}
	return cell[4 : len(cell)-64], cell[len(cell)-64:], true
}

func (t *token) unwrap(cell []byte) (trackerState, error) {
	state := trackerState{Peers: map[string][]trackerAddr{}}
	if len(cell) == 0 {
		return state, nil
	}
	box, sig, ok := split(cell)
	if !ok || !ed25519.Verify(t.signer.Public().(ed25519.PublicKey), presig(box), sig) || len(box) < 24 {
		return state, errors.New("the cell is not signed")
	}
	var nonce [24]byte
	copy(nonce[:], box)
	text, ok := secretbox.Open(nil, box[24:], &nonce, &t.seal)
	if !ok {
		return state, errors.New("the cell is sealed with another key")
	}
	err := json.Unmarshal(text, &state)
	return state, err
}

func (t *token) get() ([]byte, error) {
	res, err := http.Get(t.url)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxCell))
}

func (t *token) announce(id, addr string) error {
	for try := 0; try < 10; try++ {
		current, err := t.get()
		if err != nil {
			return err
		}
		state, err := t.unwrap(current)
		if err != nil {
			return err
		}
		state.Peers[id] = []trackerAddr{{Addr: addr, Timestamp: time.Now(), TTL: time.Minute}}
		next := t.wrap(state)
		req, _ := http.NewRequest("PUT", t.url, bytes.NewReader(next))
		sum := sha3.Sum256(current)
		req.Header.Set("X-Current", b64.EncodeToString(sum[:]))
		req.Header.Set("X-Signer", b64.EncodeToString(marshalKey(t.signer.Public().(ed25519.PublicKey))))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		actual, err := io.ReadAll(io.LimitReader(res.Body, maxCell))
		res.Body.Close()
		if err != nil || res.StatusCode != 200 {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		if bytes.Equal(actual, next) {
			return nil
		}
	}
	return errors.New("others were first")
}

type cells struct {
	mu    sync.Mutex
	cells map[string][]byte
}

func (c *cells) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/")
	switch r.Method {
	case "GET":
	case "PUT":
		next, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCell))
		spki, err2 := b64.DecodeString(r.Header.Get("X-Signer"))
		believed, err3 := b64.DecodeString(r.Header.Get("X-Current"))
		if err != nil || err2 != nil || err3 != nil {
			http.Error(w, "malformed", 400)
			return
		}
		signer := parseKey(spki)
		box, sig, ok := split(next)
		if signer == nil || peerIDOf(signer) != key || !ok || !ed25519.Verify(signer, presig(box), sig) {
			http.Error(w, "not signed", 400)
			return
		}
		sum := sha3.Sum256(c.cells[key])
		if bytes.Equal(sum[:], believed) {
			c.cells[key] = next
		}
	default:
		http.Error(w, "method", 400)
		return
	}
	w.Write(c.cells[key])
}

func runTracker(bind string, seed []byte) {
	listener, err := net.Listen("tcp", bind)
	if err != nil {
		fail(err)
	}
	go http.Serve(listener, &cells{cells: map[string][]byte{}})
	id := peerIDOf(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	emit(event{Event: "listening", Addr: "http://" + listener.Addr().String(), Peer: id})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c command
		if json.Unmarshal(lines.Bytes(), &c) != nil {
			continue
		}
		t, err := parseToken(c.Dst)
		var answer []byte
		if err == nil && c.Cmd == "announce" {
			err = t.announce(id, string(c.Payload))
		} else if err == nil {
			var cell []byte
			if cell, err = t.get(); err == nil {
				var state trackerState
				if state, err = t.unwrap(cell); err == nil {
					answer, _ = json.Marshal(state)
				}
			}
		}
		if err != nil {
			emit(event{Event: "error", Message: err.Error()})
		} else {
			emit(event{Event: "answer", Payload: answer})
		}
	}
}
