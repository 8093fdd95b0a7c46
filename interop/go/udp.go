package main

import "net"

// UDP is the bottom of a stack: one datagram, one message.
type UDP struct {
	conn *net.UDPConn
}

func openUDP(bind string) (*UDP, error) {
	addr, err := net.ResolveUDPAddr("udp", bind)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	return &UDP{conn: conn}, nil
}

func (u *UDP) LocalAddr() string { return u.conn.LocalAddr().String() }

// MTU is shoal's for UDP: the IPv6 minimum of 1280 less 48 bytes of headers.
func (u *UDP) MTU() int { return 1232 }

func (u *UDP) Tell(dst string, payload []byte) error {
	addr, err := net.ResolveUDPAddr("udp", dst)
	if err != nil {
		return err
	}
	_, err = u.conn.WriteToUDP(payload, addr)
	return err
}

func (u *UDP) Receive(handle func(src string, payload []byte)) {
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, addr, err := u.conn.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			handle(addr.String(), append([]byte(nil), buffer[:n]...))
		}
	}()
}

func (u *UDP) Close() { u.conn.Close() }
