package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/blake2b"
)

// docs/wire/p2pke.md §6, as far as a peer for tests needs it. Like the original it counts handshakes only: it uses a session
// for 15 s after its handshake, and forgets a channel that is 30 s old when its last handshake is 15 s ago, however much data
// there was. Data that comes before InitDone is dropped.

const (
	backoff       = 250 * time.Millisecond
	maxBackoff    = 2 * time.Second
	giveUpAfter   = 10 * time.Second
	holdTime      = 400 * time.Millisecond
	rejectAfter   = 180 * time.Second
	keepAlive     = 15 * time.Second
	forgetAge     = 30 * time.Second
	cleanupEvery  = 7500 * time.Millisecond
	maxHalfOpen   = 4
	errorTimeout  = "timeout"
	errorMismatch = "identity_mismatch"
)

// P2pke makes a layer secure; its addresses are <PeerID>@<inner address>.
type P2pke struct {
	inner    Layer
	local    ed25519.PrivateKey
	mu       sync.Mutex
	channels map[string]*channel
	lose     map[uint32]int
	scale    float64 // of the times that the original forgets after
	closed   chan struct{}
	handle   func(src string, payload []byte)
}

type channel struct {
	swarm             *P2pke
	addr              string
	created           time.Time
	lastReady         time.Time // when the last handshake was complete
	previous, current *session
	mine              *session
	theirs            []*session
	pinned            ed25519.PublicKey
	timestamp         []byte
	expect            string // PeerID that was dialled
	ready             chan struct{}
	failed            error
}

func newP2pke(inner Layer, seed []byte, scale float64) *P2pke {
	s := &P2pke{inner: inner, local: ed25519.NewKeyFromSeed(seed), channels: map[string]*channel{}, lose: map[uint32]int{}}
	s.scale, s.closed = scale, make(chan struct{})
	inner.Receive(s.receive)
	go s.cleanUp()
	return s
}

func (s *P2pke) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.scale)
}

// cleanUp forgets channels until the swarm is closed.
func (s *P2pke) cleanUp() {
	ticker := time.NewTicker(s.scaled(cleanupEvery))
	defer ticker.Stop()
	for {
		select {
		case <-s.closed:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			for addr, c := range s.channels {
				if now.Sub(c.created) >= s.scaled(forgetAge) && now.Sub(c.lastReady) >= s.scaled(keepAlive) {
					delete(s.channels, addr)
					c.mine = nil // ends its repetitions
					c.wake()
					emit(event{Event: "forgotten", Addr: addr})
				}
			}
			s.mu.Unlock()
		}
	}
}

func (s *P2pke) LocalAddr() string {
	return peerIDOf(s.local.Public().(ed25519.PublicKey)) + "@" + s.inner.LocalAddr()
}

// MTU is that of the layer below less counter and tag.
func (s *P2pke) MTU() int { return s.inner.MTU() - 20 }

func (s *P2pke) Receive(handle func(src string, payload []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = handle
}

func (s *P2pke) Close() {
	close(s.closed)
	s.inner.Close()
}

// Lose loses the next datagrams with a counter.
func (s *P2pke) Lose(counter uint32, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose[counter] = times
}

func (s *P2pke) send(addr string, datagram []byte) {
	counter := binary.BigEndian.Uint32(datagram)
	if s.lose[counter] > 0 {
		s.lose[counter]--
		return
	}
	_ = s.inner.Tell(addr, datagram)
}

func (s *P2pke) channelFor(addr string) *channel {
	c := s.channels[addr]
	if c == nil {
		c = &channel{swarm: s, addr: addr, created: time.Now(), ready: make(chan struct{})}
		s.channels[addr] = c
	}
	return c
}

// Open sees to it that there is a session with dst.
func (s *P2pke) Open(dst string) error {
	_, err := s.channelTo(dst)
	return err
}

func (s *P2pke) channelTo(dst string) (*channel, error) {
	id, addr, found := strings.Cut(dst, "@")
	if !found {
		return nil, fmt.Errorf("no address: %q", dst)
	}
	deadline := time.Now().Add(giveUpAfter)
	for {
		s.mu.Lock()
		c := s.channelFor(addr)
		c.failed = nil
		c.expire(time.Now())
		if c.current != nil && time.Since(c.lastReady) > s.scaled(keepAlive) {
			c.previous, c.current = c.current, nil
		}
		if c.current != nil {
			defer s.mu.Unlock()
			if peerIDOf(c.current.remote) != id {
				return nil, errors.New(errorMismatch)
			}
			return c, nil
		}
		if c.mine == nil {
			c.expect = id
			c.begin()
		}
		ready := c.ready
		s.mu.Unlock()
		select {
		case <-ready:
		case <-time.After(time.Until(deadline)):
			return nil, errors.New(errorTimeout)
		}
		s.mu.Lock()
		err := c.failed
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

func (s *P2pke) Tell(dst string, payload []byte) error {
	c, err := s.channelTo(dst)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.current == nil || c.current.next >= maxCounter {
		return errors.New(errorTimeout)
	}
	s.send(c.addr, c.current.sealData(payload))
	return nil
}

func (s *P2pke) receive(addr string, datagram []byte) {
	s.mu.Lock()
	if len(datagram) < 20 {
		s.mu.Unlock()
		return
	}
	c := s.channelFor(addr)
	payload, remote := c.deliver(datagram)
	handle := s.handle
	s.mu.Unlock()
	if remote != nil && handle != nil {
		handle(peerIDOf(remote)+"@"+addr, payload)
	}
}

func (c *channel) expire(now time.Time) {
	for _, slot := range []**session{&c.previous, &c.current} {
		if *slot != nil && now.Sub((*slot).created) > rejectAfter {
			*slot = nil
		}
	}
}

// wake lets all who wait look again.
func (c *channel) wake() {
	close(c.ready)
	c.ready = make(chan struct{})
}

func (c *channel) accept(key ed25519.PublicKey) bool {
	if c.pinned != nil {
		return bytes.Equal(c.pinned, key)
	}
	return c.expect == "" || peerIDOf(key) == c.expect
}

func (c *channel) begin() {
	session := initiate(c.swarm.local, time.Now())
	c.mine = session
	go func() {
		for interval := backoff; ; interval = min(2*interval, maxBackoff) {
			c.swarm.mu.Lock()
			if c.mine != session {
				c.swarm.mu.Unlock()
				return
			}
			if time.Since(session.created) > giveUpAfter {
				c.mine = nil
				c.fail(errorTimeout)
				c.swarm.mu.Unlock()
				return
			}
			c.repeat(session)
			c.swarm.mu.Unlock()
			time.Sleep(interval)
		}
	}()
}

func (c *channel) fail(reason string) {
	c.failed = errors.New(reason)
	c.wake()
}

func (c *channel) repeat(session *session) {
	c.swarm.send(c.addr, session.message)
	if session.confirm != nil {
		c.swarm.send(c.addr, session.confirm)
	}
}

func (c *channel) promote(session *session) {
	if c.current != session {
		c.previous, c.current = c.current, session
	}
	kept := c.theirs[:0]
	for _, other := range c.theirs {
		if other != session {
			kept = append(kept, other)
		}
	}
	c.theirs = kept
	if !session.initiator && c.mine != nil && !c.mine.proven {
		c.mine = nil
	}
	c.wake()
}

func (c *channel) proven(session *session) {
	c.pinned = session.remote
	c.lastReady = time.Now()
	initiator := session.initiator
	emit(event{Event: "session", Peer: peerIDOf(session.remote) + "@" + c.addr, Initiator: &initiator})
}

// deliver answers a message and whose it is; nobody's when there is none for the user.
func (c *channel) deliver(datagram []byte) ([]byte, ed25519.PublicKey) {
	counter := binary.BigEndian.Uint32(datagram)
	c.expire(time.Now())
	switch {
	case counter >= firstData && counter < maxCounter:
		return c.data(counter, datagram)
	case counter == initHello:
		c.initHello(datagram)
	case counter == respHello && c.mine != nil && !c.mine.proven:
		err := c.mine.readRespHello(datagram, c.accept)
		if errors.Is(err, errRefused) {
			c.mine = nil
			c.fail(errorMismatch)
		} else if err == nil {
			c.proven(c.mine)
			c.repeat(c.mine)
			if c.current == nil {
				c.promote(c.mine)
			}
		}
	case counter == initDone:
		c.initDone(datagram)
	case counter == respDone && c.mine != nil && c.mine.proven && c.mine.takeRespDone(datagram):
		c.confirmed(c.mine)
	case counter == cookieReply && len(datagram) == 37 && datagram[4] == 1 && c.mine != nil && !c.mine.proven:
		if bytes.Equal(datagram[5:21], c.mine.id[:16]) {
			c.mine.cookie = append([]byte(nil), datagram[21:]...)
			c.mine.hello()
			c.repeat(c.mine)
		}
	}
	return nil, nil
}

func (c *channel) data(counter uint32, datagram []byte) ([]byte, ed25519.PublicKey) {
	for _, session := range append([]*session{c.current, c.previous, c.mine}, c.theirs...) {
		if session == nil {
			continue
		}
		payload, forUser, ok := session.openData(counter, datagram)
		if !ok {
			continue
		}
		if session == c.mine {
			c.confirmed(session)
		} else if session != c.current && session != c.previous {
			c.promote(session)
		}
		if !forUser {
			return nil, nil
		}
		return payload, session.remote
	}
	return nil, nil
}

// confirmed ends a handshake that was begun here.
func (c *channel) confirmed(session *session) {
	c.swarm.send(c.addr, session.confirm)
	c.mine = nil
	if c.current != session {
		c.promote(session)
	}
}

func (c *channel) initHello(datagram []byte) {
	id := blake2b.Sum256(datagram)
	for _, session := range c.theirs {
		if session.id == id && !session.proven {
			c.swarm.send(c.addr, session.message)
			return
		}
	}
	for _, session := range []*session{c.current, c.previous} {
		if session != nil && session.id == id {
			return
		}
	}
	if c.mine != nil && bytes.Compare(c.mine.id[:], id[:]) < 0 {
		return
	}
	session, err := answer(c.swarm.local, datagram, time.Now(), c.accept)
	if err != nil || bytes.Compare(session.timestamp, c.timestamp) <= 0 {
		return
	}
	if len(c.theirs) == maxHalfOpen {
		c.theirs = c.theirs[1:]
	}
	c.theirs = append(c.theirs, session)
	c.swarm.send(c.addr, session.message)
}

func (c *channel) initDone(datagram []byte) {
	for _, session := range append([]*session{c.current, c.previous}, c.theirs...) {
		if session == nil || session.initiator {
			continue
		}
		before := session.proven
		if !session.takeInitDone(datagram) {
			continue
		}
		c.swarm.send(c.addr, session.message)
		if !before {
			c.timestamp = session.timestamp
			c.proven(session)
			go c.hold(session)
		}
		return
	}
}

// hold promotes a session whose initiator has said nothing for a while.
func (c *channel) hold(session *session) {
	time.Sleep(holdTime)
	c.swarm.mu.Lock()
	defer c.swarm.mu.Unlock()
	for _, waiting := range c.theirs {
		if waiting == session {
			c.swarm.send(c.addr, session.message)
			c.promote(session)
			return
		}
	}
}
