package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// docs/wire/mux.md. One channel of a mux: messages of others are not for us.

// Mux is one channel over the layer below.
type Mux struct {
	inner  Layer
	header []byte
}

// newMux makes the channel that "kind:id" names.
func newMux(inner Layer, spec string) (*Mux, error) {
	kind, id, found := strings.Cut(spec, ":")
	if !found {
		return nil, fmt.Errorf("expected mux:kind:id")
	}
	if kind == "string" {
		return &Mux{inner, append(binary.AppendUvarint(nil, uint64(len(id))), id...)}, nil
	}
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "u16":
		return &Mux{inner, binary.BigEndian.AppendUint16(nil, uint16(n))}, nil
	case "u32":
		return &Mux{inner, binary.BigEndian.AppendUint32(nil, uint32(n))}, nil
	case "u64":
		return &Mux{inner, binary.BigEndian.AppendUint64(nil, n)}, nil
	case "varint":
		return &Mux{inner, binary.AppendUvarint(nil, n)}, nil
	}
	return nil, fmt.Errorf("unknown kind of channels %q", kind)
}

func (m *Mux) LocalAddr() string { return m.inner.LocalAddr() }
func (m *Mux) MTU() int          { return m.inner.MTU() - len(m.header) }
func (m *Mux) Close()            { m.inner.Close() }

func (m *Mux) with(payload []byte) []byte { return append(bytes.Clone(m.header), payload...) }

func (m *Mux) Tell(dst string, payload []byte) error { return m.inner.Tell(dst, m.with(payload)) }

func (m *Mux) Receive(handle func(src string, payload []byte)) {
	m.inner.Receive(func(src string, message []byte) {
		if payload, ours := bytes.CutPrefix(message, m.header); ours {
			handle(src, payload)
		}
	})
}

func (m *Mux) Ask(dst string, request []byte) ([]byte, error) {
	below, ok := m.inner.(Asker)
	if !ok {
		return nil, errNoAsks
	}
	return below.Ask(dst, m.with(request))
}

func (m *Mux) Serve(handle func(src string, request []byte) ([]byte, bool)) {
	if below, ok := m.inner.(Asker); ok {
		below.Serve(func(src string, message []byte) ([]byte, bool) {
			payload, ours := bytes.CutPrefix(message, m.header)
			if !ours {
				return nil, false
			}
			return handle(src, payload)
		})
	}
}
