package main

import "sync"

// Messages in parts, as frag and mbapp have them; docs/wire/frag.md §3 without its bounds: this is a peer for tests.

type partKey struct {
	src string
	id  string
}

type partial struct {
	total int
	parts map[int][]byte
}

type assembly struct {
	mu       sync.Mutex
	partials map[partKey]*partial
}

func newAssembly() *assembly { return &assembly{partials: map[partKey]*partial{}} }

// add takes a part and gives the whole message, if this was the last one that was missing.
func (a *assembly) add(src, id string, part, total int, data []byte) ([]byte, bool) {
	if total <= 1 {
		return data, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := partKey{src, id}
	p := a.partials[key]
	if p == nil {
		p = &partial{total: total, parts: map[int][]byte{}}
		a.partials[key] = p
	}
	if p.total != total {
		delete(a.partials, key)
		return nil, false
	}
	p.parts[part] = data
	if len(p.parts) < total {
		return nil, false
	}
	delete(a.partials, key)
	var whole []byte
	for i := 0; i < total; i++ {
		whole = append(whole, p.parts[i]...)
	}
	return whole, true
}
