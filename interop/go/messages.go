package main

import (
	"encoding/binary"
	"time"
)

// docs/wire/p2pke.md §§1, 2, 4.

const (
	initHello    = 0
	respHello    = 1
	initDone     = 2
	respDone     = 3
	firstData    = 16
	maxCounter   = 0xfffffffe
	cookieReply  = 0xffffffff
	keepAliveGap = 4096
	cookieField  = 15
)

func header(counter uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, counter)
}

// Leap seconds before 2017 do not matter to a program that is started today.
func tai64n(t time.Time) []byte {
	out := binary.BigEndian.AppendUint64(nil, uint64(1<<62+t.Unix()+37))
	return binary.BigEndian.AppendUint32(out, uint32(t.Nanosecond()))
}

func bytesField(out []byte, number uint64, value []byte) []byte {
	out = binary.AppendUvarint(out, number<<3|2)
	out = binary.AppendUvarint(out, uint64(len(value)))
	return append(out, value...)
}

// fields reads a protobuf message; nil when it is none.
func fields(message []byte) (numbers map[uint64]uint64, values map[uint64][]byte) {
	numbers, values = map[uint64]uint64{}, map[uint64][]byte{}
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, nil
		}
		message = message[n:]
		switch key & 7 {
		case 0:
			value, n := binary.Uvarint(message)
			if n <= 0 {
				return nil, nil
			}
			numbers[key>>3], message = value, message[n:]
		case 2:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)-n) {
				return nil, nil
			}
			values[key>>3], message = message[n:n+int(length)], message[n+int(length):]
		case 1, 5:
			skip := 4
			if key&7 == 1 {
				skip = 8
			}
			if len(message) < skip {
				return nil, nil
			}
			message = message[skip:]
		default:
			return nil, nil
		}
	}
	return numbers, values
}
