package main

import (
	"sync"
	"time"
)

// For benchmarks: messages as fast as they go, and a count instead of a line for each.

type counting struct {
	mu                   sync.Mutex
	warm                 time.Duration
	total, received      int
	first, begin, latest time.Time
}

func (c *counting) note() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total == 0 {
		c.first = now
	}
	c.total++
	if now.Sub(c.first) < c.warm {
		return
	}
	if c.received == 0 {
		c.begin = now
	}
	c.received++
	c.latest = now
}

func (c *counting) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	emit(event{Event: "count", Received: c.received, Total: c.total, Ms: float64(c.latest.Sub(c.begin).Microseconds()) / 1000})
}

func flood(top Layer, c command) {
	payload := make([]byte, c.Bytes)
	sent := 0
	for deadline := time.Now().Add(time.Duration(c.Ms) * time.Millisecond); time.Now().Before(deadline); sent++ {
		if err := top.Tell(c.Dst, payload); err != nil {
			emit(event{Event: "error", Dst: c.Dst, Message: err.Error()})
			return
		}
	}
	emit(event{Event: "flooded", Sent: sent})
}
