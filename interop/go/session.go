package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/flynn/noise"
	"golang.org/x/crypto/blake2b"
)

// docs/wire/p2pke.md §§2, 3, 5.

var suite = noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashBLAKE2b)

var errRefused = errors.New("refused")

const replayWindow = 8128

type session struct {
	initiator bool
	id        [32]byte
	created   time.Time
	timestamp []byte
	remote    ed25519.PublicKey // claimed until done
	message   []byte            // the handshake message to be repeated
	confirm   []byte            // initiator: the empty counter 16
	proven    bool              // the other side's key is
	confirmed bool              // the other side has shown that it has the keys

	local    ed25519.PrivateKey
	seed     []byte // initiator: what its ephemeral is made of
	cookie   []byte
	binding  []byte // h1 for the initiator, h2 for the responder
	seal     noise.Cipher
	open     noise.Cipher
	next     uint32
	highest  uint32
	seen     map[uint32]bool
	initDone []byte
}

func newState(initiator bool, random io.Reader) *noise.HandshakeState {
	state, err := noise.NewHandshakeState(noise.Config{
		CipherSuite: suite, Pattern: noise.HandshakeNN, Initiator: initiator, Random: random,
	})
	if err != nil {
		panic(err)
	}
	return state
}

// bindingOf copies: the slice that noise answers changes with the next message.
func bindingOf(state *noise.HandshakeState) []byte {
	return append([]byte(nil), state.ChannelBinding()...)
}

func initiate(local ed25519.PrivateKey, now time.Time) *session {
	s := &session{initiator: true, created: now, timestamp: tai64n(now), local: local, seed: make([]byte, 32)}
	rand.Read(s.seed)
	s.hello()
	return s
}

// hello writes InitHello, and answers the Noise state behind it. The same seed and payload give the same state, so it
// can be had again for every reply that is tried.
func (s *session) hello() *noise.HandshakeState {
	payload := binary.AppendUvarint(nil, 1<<3)
	payload = append(payload, 1)
	payload = bytesField(payload, 2, s.timestamp)
	payload = bytesField(payload, 3, marshalKey(s.local.Public().(ed25519.PublicKey)))
	payload = bytesField(payload, 4, sign(s.local, purposeTimestamp, s.timestamp))
	if s.cookie != nil {
		payload = bytesField(payload, cookieField, s.cookie)
	}
	payload = binary.BigEndian.AppendUint16(payload, uint16(len(payload)))
	state := newState(true, bytes.NewReader(s.seed))
	message, _, _, err := state.WriteMessage(header(initHello), payload)
	if err != nil {
		panic(err)
	}
	s.message, s.id, s.binding = message, blake2b.Sum256(message), bindingOf(state)
	return state
}

// answer makes the responder's session of an InitHello whose key accept takes.
func answer(local ed25519.PrivateKey, datagram []byte, now time.Time, accept func(ed25519.PublicKey) bool) (*session, error) {
	body := datagram[4:]
	if len(body) < 32+2 || int(binary.BigEndian.Uint16(body[len(body)-2:])) != len(body)-34 {
		return nil, errors.New("malformed InitHello")
	}
	numbers, values := fields(body[32 : len(body)-2])
	remote := parseKey(values[3])
	if numbers[1] != 1 || len(values[2]) != 12 || remote == nil || !verify(remote, purposeTimestamp, values[2], values[4]) {
		return nil, errors.New("bad InitHello")
	}
	if !accept(remote) {
		return nil, errRefused
	}
	state := newState(false, rand.Reader)
	if _, _, _, err := state.ReadMessage(nil, body); err != nil {
		return nil, err
	}
	payload := bytesField(nil, 1, marshalKey(local.Public().(ed25519.PublicKey)))
	payload = bytesField(payload, 2, sign(local, purposeBinding, state.ChannelBinding()))
	message, i2r, r2i, err := state.WriteMessage(header(respHello), payload)
	if err != nil {
		return nil, err
	}
	s := &session{created: now, timestamp: append([]byte(nil), values[2]...), local: local, remote: remote, message: message}
	s.id, s.binding = blake2b.Sum256(datagram), bindingOf(state)
	s.useKeys(r2i, i2r)
	return s, nil
}

func (s *session) useKeys(seal, open *noise.CipherState) {
	s.seal, s.open = seal.Cipher(), open.Cipher()
	s.next, s.seen = firstData, map[uint32]bool{}
}

func (s *session) sealWith(counter uint32, plaintext []byte) []byte {
	head := header(counter)
	return s.seal.Encrypt(append([]byte(nil), head...), uint64(counter), head, plaintext)
}

func (s *session) openWith(datagram []byte) ([]byte, error) {
	counter := binary.BigEndian.Uint32(datagram)
	return s.open.Decrypt(nil, uint64(counter), datagram[:4], datagram[4:])
}

// readRespHello takes a reply: nothing changes unless its signature is right and accept takes its key.
func (s *session) readRespHello(datagram []byte, accept func(ed25519.PublicKey) bool) error {
	state := s.hello()
	payload, i2r, r2i, err := state.ReadMessage(nil, datagram[4:])
	if err != nil {
		return err
	}
	_, values := fields(payload)
	remote := parseKey(values[1])
	if remote == nil || !verify(remote, purposeBinding, s.binding, values[2]) {
		return errors.New("bad RespHello")
	}
	if !accept(remote) {
		return errRefused
	}
	s.remote, s.proven = remote, true
	s.useKeys(i2r, r2i)
	s.message = s.sealWith(initDone, bytesField(nil, 1, sign(s.local, purposeBinding, state.ChannelBinding())))
	s.confirm = s.sealData(nil)
	return nil
}

// takeInitDone is true when InitDone is right, now or before.
func (s *session) takeInitDone(datagram []byte) bool {
	if s.initiator || s.initDone != nil {
		return !s.initiator && bytes.Equal(s.initDone, datagram)
	}
	payload, err := s.openWith(datagram)
	if err != nil {
		return false
	}
	_, values := fields(payload)
	if !verify(s.remote, purposeBinding, s.binding, values[1]) {
		return false
	}
	s.initDone = append([]byte(nil), datagram...)
	s.message = s.sealWith(respDone, nil)
	s.proven = true
	return true
}

func (s *session) takeRespDone(datagram []byte) bool {
	payload, err := s.openWith(datagram)
	if err != nil || len(payload) != 0 {
		return false
	}
	s.confirmed = true
	return true
}

func (s *session) sealData(plaintext []byte) []byte {
	if len(plaintext) == 0 && s.next%keepAliveGap == 0 {
		s.next++
	}
	s.next++
	return s.sealWith(s.next-1, plaintext)
}

// openData answers the message, and whether it is one for the user.
func (s *session) openData(counter uint32, datagram []byte) (payload []byte, forUser, ok bool) {
	if !s.proven || s.seen[counter] || s.highest > counter+replayWindow {
		return nil, false, false
	}
	payload, err := s.openWith(datagram)
	if err != nil {
		return nil, false, false
	}
	s.seen[counter] = true
	if counter > s.highest {
		s.highest = counter
		for old := range s.seen {
			if s.highest > old+replayWindow {
				delete(s.seen, old)
			}
		}
	}
	s.confirmed = true
	confirm := counter == firstData && !s.initiator
	return payload, len(payload) > 0 || !(confirm || counter%keepAliveGap == 0), true
}
