package main

import (
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"time"
)

// docs/wire/frag.md

const (
	fragOverhead = 15
	fragMaxParts = 255
	// Parts between two pauses: a large message must not overrun the receiver's socket buffer.
	partsPerBurst = 24
	burstPause    = time.Millisecond
)

// Frag carries messages larger than the layer below.
type Frag struct {
	inner    Layer
	mu       sync.Mutex
	ids      map[string]uint32
	assembly *assembly
}

func newFrag(inner Layer) *Frag {
	return &Frag{inner: inner, ids: map[string]uint32{}, assembly: newAssembly()}
}

func (f *Frag) LocalAddr() string { return f.inner.LocalAddr() }
func (f *Frag) MTU() int          { return (f.inner.MTU() - fragOverhead) * fragMaxParts }
func (f *Frag) Close()            { f.inner.Close() }

func (f *Frag) Tell(dst string, payload []byte) error {
	if len(payload) > f.MTU() {
		return errors.New("mtu_exceeded")
	}
	f.mu.Lock()
	id := f.ids[dst]
	f.ids[dst]++
	f.mu.Unlock()
	chunk := f.inner.MTU() - fragOverhead
	total := max(1, (len(payload)+chunk-1)/chunk)
	for part := 0; part < total; part++ {
		var packet []byte
		packet = binary.AppendUvarint(packet, uint64(id))
		packet = binary.AppendUvarint(packet, uint64(part))
		packet = binary.AppendUvarint(packet, uint64(total))
		packet = append(packet, payload[part*chunk:min(len(payload), (part+1)*chunk)]...)
		if err := f.inner.Tell(dst, packet); err != nil {
			return err
		}
		if part%partsPerBurst == partsPerBurst-1 {
			time.Sleep(burstPause)
		}
	}
	return nil
}

func (f *Frag) Receive(handle func(src string, payload []byte)) {
	f.inner.Receive(func(src string, packet []byte) {
		var header [3]uint64
		for i := range header {
			value, n := binary.Uvarint(packet)
			if n <= 0 {
				return
			}
			header[i] = value
			packet = packet[n:]
		}
		id, part, total := header[0], header[1], header[2]
		if part >= total || total > fragMaxParts {
			return
		}
		if whole, ok := f.assembly.add(src, strconv.FormatUint(id, 10), int(part), int(total), packet); ok {
			handle(src, whole)
		}
	})
}
