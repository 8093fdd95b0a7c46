package main

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
)

// docs/wire/kademlia.md, "JSON form": the messages of go-p2p's package kademlia, in its own types and with Go's own encoder.

type kadTime struct {
	Seconds     uint64 `json:"s"`
	Nanoseconds uint32 `json:"ns"`
}

type kadNode struct {
	ID   string `json:"id"`
	Info []byte `json:"info"`
}

type findNodeReq struct {
	Target string `json:"target"`
	Limit  int    `json:"limit"`
}

type findNodeRes struct {
	Nodes []kadNode `json:"nodes"`
}

type getReq struct {
	Key []byte `json:"key"`
}

type getRes struct {
	Value     []byte    `json:"value"`
	ExpiresAt kadTime   `json:"expires_at"`
	Closer    []kadNode `json:"closer"`
}

type putReq struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	TTLms uint64 `json:"ttl_ms"`
}

type putRes struct {
	Accepted bool      `json:"accepted"`
	Closer   []kadNode `json:"closer"`
}

type pingRes struct {
	Timestamp kadTime `json:"timestamp"`
}

func kadNow() kadTime {
	now := time.Now()
	return kadTime{Seconds: uint64(1<<62 + now.Unix() + 37), Nanoseconds: uint32(now.Nanosecond())}
}

// Kademlia is a node that knows those that asked it, and stores values for them.
type Kademlia struct {
	asker  Asker
	mu     sync.Mutex
	nodes  []kadNode
	values map[string][]byte
}

func newKademlia(asker Asker) *Kademlia {
	k := &Kademlia{asker: asker, values: map[string][]byte{}}
	asker.Serve(func(src string, request []byte) ([]byte, bool) {
		emit(event{Event: "ask", Src: src, Payload: request})
		answer, err := k.answer(src, request)
		return answer, err == nil
	})
	return k
}

func (k *Kademlia) answer(src string, request []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(request, &members); err != nil {
		return nil, err
	}
	_, hasTarget := members["target"]
	_, hasKey := members["key"]
	_, hasValue := members["value"]
	id, _, _ := strings.Cut(src, "@")
	defer func() {
		for _, node := range k.nodes {
			if node.ID == id {
				return
			}
		}
		k.nodes = append(k.nodes, kadNode{ID: id, Info: []byte(src)})
	}()
	switch {
	case hasTarget:
		var req findNodeReq
		if err := json.Unmarshal(request, &req); err != nil {
			return nil, err
		}
		nodes := k.nodes
		if req.Limit < len(nodes) {
			nodes = nodes[:req.Limit]
		}
		return json.Marshal(findNodeRes{Nodes: nodes})
	case hasKey && hasValue:
		var req putReq
		if err := json.Unmarshal(request, &req); err != nil {
			return nil, err
		}
		k.values[string(req.Key)] = req.Value
		return json.Marshal(putRes{Accepted: true})
	case hasKey:
		var req getReq
		if err := json.Unmarshal(request, &req); err != nil {
			return nil, err
		}
		value, ok := k.values[string(req.Key)]
		if !ok {
			return json.Marshal(getRes{Closer: k.nodes})
		}
		return json.Marshal(getRes{Value: value, ExpiresAt: kadNow(), Closer: k.nodes})
	}
	return json.Marshal(pingRes{Timestamp: kadNow()})
}

// ask sends a request of go-p2p's types, and gives back the answer as its types read it.
func (k *Kademlia) ask(dst string, c command) ([]byte, error) {
	var request, answer any
	switch c.Cmd {
	case "kad-ping":
		request, answer = struct{}{}, &pingRes{}
	case "kad-find":
		request, answer = findNodeReq{Target: string(c.Payload), Limit: 10}, &findNodeRes{}
	case "kad-get":
		request, answer = getReq{Key: c.Payload}, &getRes{}
	case "kad-put":
		key, value, _ := strings.Cut(string(c.Payload), "=")
		request, answer = putReq{Key: []byte(key), Value: []byte(value), TTLms: 300_000}, &putRes{}
	default:
		return nil, errors.New("unknown kademlia command")
	}
	bytes, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	got, err := k.asker.Ask(dst, bytes)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(got, answer); err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}
