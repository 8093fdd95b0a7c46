package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// docs/wire/mbapp.md, as the original has it: requests are sent once, and a repeated one is executed again.

const (
	mbappHeader   = 24
	mbappTimeout  = 30 * time.Second
	mbappMTU      = 1 << 20
	askBit        = 1 << 31
	replyBit      = 1 << 30
	refusedCode   = 0xff
	noDeadline    = 1 << 28
	phasePeriodMs = 1 << 31
)

var errNoAsks = errors.New("this stack cannot ask")

// Asker is what a layer that can ask does beyond telling.
type Asker interface {
	Ask(dst string, request []byte) ([]byte, error)
	// Serve sets who answers requests; false refuses.
	Serve(func(src string, request []byte) ([]byte, bool))
}

type mbappReply struct {
	code    byte
	payload []byte
}

// Mbapp adds asks to the layer below.
type Mbapp struct {
	inner    Layer
	mu       sync.Mutex
	counter  uint32
	waiting  map[string]chan mbappReply
	assembly *assembly
	serve    func(src string, request []byte) ([]byte, bool)
}

func newMbapp(inner Layer) *Mbapp {
	return &Mbapp{inner: inner, waiting: map[string]chan mbappReply{}, assembly: newAssembly()}
}

func (m *Mbapp) LocalAddr() string { return m.inner.LocalAddr() }
func (m *Mbapp) MTU() int          { return mbappMTU }
func (m *Mbapp) Close()            { m.inner.Close() }

func phaseTime(now time.Time) uint32 {
	ms := now.UnixMilli()
	even := ms % phasePeriodMs
	if even >= phasePeriodMs/4 && even < 3*phasePeriodMs/4 {
		return uint32(even)
	}
	return uint32(phasePeriodMs + (ms-phasePeriodMs/2)%phasePeriodMs)
}

func (m *Mbapp) next() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter++
	return m.counter
}

func (m *Mbapp) send(dst string, word, origin, counter, timeoutMs uint32, payload []byte) error {
	chunk := m.inner.MTU() - mbappHeader
	count := (len(payload) + chunk - 1) / chunk
	for part := 0; part == 0 || part < count; part++ {
		packet := binary.BigEndian.AppendUint32(nil, word)
		packet = binary.BigEndian.AppendUint32(packet, origin)
		packet = binary.BigEndian.AppendUint32(packet, counter)
		packet = binary.BigEndian.AppendUint32(packet, uint32(len(payload)))
		packet = binary.BigEndian.AppendUint32(packet, uint32(part<<16|count))
		packet = binary.BigEndian.AppendUint32(packet, timeoutMs)
		packet = append(packet, payload[part*chunk:min(len(payload), (part+1)*chunk)]...)
		if err := m.inner.Tell(dst, packet); err != nil {
			return err
		}
		if part%partsPerBurst == partsPerBurst-1 {
			time.Sleep(burstPause)
		}
	}
	return nil
}

func (m *Mbapp) Tell(dst string, payload []byte) error {
	return m.send(dst, 0, phaseTime(time.Now()), m.next(), noDeadline, payload)
}

func (m *Mbapp) Ask(dst string, request []byte) ([]byte, error) {
	origin, counter := phaseTime(time.Now()), m.next()
	key := fmt.Sprint(origin, counter, dst)
	reply := make(chan mbappReply, 1)
	m.mu.Lock()
	m.waiting[key] = reply
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.waiting, key)
		m.mu.Unlock()
	}()
	if err := m.send(dst, askBit, origin, counter, uint32(mbappTimeout.Milliseconds()), request); err != nil {
		return nil, err
	}
	select {
	case r := <-reply:
		if r.code != 0 {
			return nil, fmt.Errorf("refused with code %d", r.code)
		}
		return r.payload, nil
	case <-time.After(mbappTimeout):
		return nil, errors.New("timeout")
	}
}

func (m *Mbapp) Serve(handle func(src string, request []byte) ([]byte, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serve = handle
}

func (m *Mbapp) Receive(handle func(src string, payload []byte)) {
	m.inner.Receive(func(src string, packet []byte) {
		if len(packet) < mbappHeader {
			return
		}
		word := func(i int) uint32 { return binary.BigEndian.Uint32(packet[4*i:]) }
		kind, origin, counter, size := word(0), word(1), word(2), word(3)
		part, count := int(word(4)>>16), int(word(4)&0xffff)
		id := fmt.Sprint(kind&(askBit|replyBit), origin, counter)
		whole, ok := m.assembly.add(src, id, part, count, packet[mbappHeader:])
		if !ok || len(whole) != int(size) {
			return
		}
		switch {
		case kind&replyBit != 0:
			m.mu.Lock()
			waiting := m.waiting[fmt.Sprint(origin, counter, src)]
			m.mu.Unlock()
			if waiting != nil {
				select {
				case waiting <- mbappReply{byte(kind), whole}:
				default:
				}
			}
		case kind&askBit != 0:
			m.mu.Lock()
			serve := m.serve
			m.mu.Unlock()
			go func() {
				var answer []byte
				served := false
				if serve != nil {
					answer, served = serve(src, whole)
				}
				code := uint32(0)
				if !served {
					answer, code = nil, refusedCode
				}
				_ = m.send(src, askBit|replyBit|code, origin, counter, 0, answer)
			}()
		default:
			handle(src, whole)
		}
	})
}
