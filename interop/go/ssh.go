package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// docs/wire/ssh.md §1 to §5, with the habits of go-p2p's sshswarm: one connection for each address, one ask under way on
// each connection, requests served one after the other, no channels.

const sshMaxMessage = 1 << 17

type sshOptions struct {
	rekeyBytes uint64
	user       string
}

// SSHPeer is a node that speaks the wire of shoal/ssh to peers without frames.
type SSHPeer struct {
	signer   ssh.Signer
	listener net.Listener
	server   *ssh.ServerConfig
	options  sshOptions
	mu       sync.Mutex
	sessions map[string]*sshSession
}

type sshSession struct {
	conn ssh.Conn
	asks sync.Mutex
}

func openSSH(bind string, seed []byte, options sshOptions) (*SSHPeer, error) {
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, err
	}
	p := &SSHPeer{signer: signer, listener: listener, options: options, sessions: map[string]*sshSession{}}
	p.server = &ssh.ServerConfig{
		// The identity is the key whose signature was verified: Permissions are those of the call that led to it.
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return &ssh.Permissions{Extensions: map[string]string{"id": ssh.FingerprintSHA256(key)}}, nil
		},
	}
	p.server.RekeyThreshold = options.rekeyBytes
	p.server.AddHostKey(signer)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				sc, channels, requests, err := ssh.NewServerConn(conn, p.server)
				if err != nil {
					emit(event{Event: "error", Message: err.Error()})
					return
				}
				p.begin(sc.Permissions.Extensions["id"]+"@"+conn.RemoteAddr().String(), sc, channels, requests)
			}()
		}
	}()
	return p, nil
}

// LocalAddr is SHA256:…@<ip:port>.
func (p *SSHPeer) LocalAddr() string {
	return ssh.FingerprintSHA256(p.signer.PublicKey()) + "@" + p.listener.Addr().String()
}

func (p *SSHPeer) session(dst string) (*sshSession, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[dst]; s != nil {
		return s, nil
	}
	want, where, _ := strings.Cut(dst, "@")
	conn, err := net.DialTimeout("tcp", where, 5*time.Second)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User: p.options.user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(p.signer)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if have := ssh.FingerprintSHA256(key); have != want {
				return fmt.Errorf("wrong peer HAVE: %s WANT: %s", have, want)
			}
			return nil
		},
	}
	config.RekeyThreshold = p.options.rekeyBytes
	sc, channels, requests, err := ssh.NewClientConn(conn, where, config)
	if err != nil {
		return nil, err
	}
	return p.beginLocked(dst, sc, channels, requests), nil
}

func (p *SSHPeer) begin(src string, conn ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beginLocked(src, conn, channels, requests)
}

func (p *SSHPeer) beginLocked(src string, conn ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) *sshSession {
	s := &sshSession{conn: conn}
	p.sessions[src] = s
	emit(event{Event: "session", Peer: src})
	go func() {
		for channel := range channels {
			channel.Reject(ssh.Prohibited, "don't do that")
		}
	}()
	go func() {
		for request := range requests {
			serveSSH(src, request)
		}
	}()
	go func() {
		err := conn.Wait()
		p.mu.Lock()
		if p.sessions[src] == s {
			delete(p.sessions, src)
		}
		p.mu.Unlock()
		emit(event{Event: "closed", Src: src, Message: fmt.Sprint(err)})
	}()
	return s
}

// serveSSH takes every global request for a message, whatever its name.
func serveSSH(src string, request *ssh.Request) {
	if !request.WantReply {
		emit(event{Event: "tell", Src: src, Message: request.Type, Payload: request.Payload})
		return
	}
	text := string(request.Payload[:min(len(request.Payload), 32)])
	switch {
	case text == "refuse":
		request.Reply(false, nil)
	case text == "slow":
		time.Sleep(300 * time.Millisecond)
		request.Reply(true, request.Payload)
	case strings.HasPrefix(text, "size:"):
		var n int
		fmt.Sscanf(text, "size:%d", &n)
		request.Reply(true, make([]byte, n))
	default:
		request.Reply(true, request.Payload)
	}
}

// Ask sends one request; one at a time on a connection.
func (s *sshSession) Ask(request []byte) ([]byte, error) {
	if len(request) > sshMaxMessage {
		return nil, errors.New("message too large")
	}
	s.asks.Lock()
	defer s.asks.Unlock()
	ok, response, err := s.conn.SendRequest("", true, request)
	if err == nil && !ok {
		err = errors.New("refused")
	}
	return response, err
}

// asks has as many askers as told ask for some time, one connection.
func (s *sshSession) flood(bytes int, ms int, askers int) event {
	started := time.Now()
	until := started.Add(time.Duration(ms) * time.Millisecond)
	counts := make([]int, askers)
	var all sync.WaitGroup
	for i := range counts {
		all.Add(1)
		go func() {
			defer all.Done()
			request := make([]byte, bytes)
			for time.Now().Before(until) {
				if _, err := s.Ask(request); err != nil {
					return
				}
				counts[i]++
			}
		}()
	}
	all.Wait()
	sum := 0
	for _, count := range counts {
		sum += count
	}
	return event{Event: "flooded", Sent: sum, Ms: float64(time.Since(started).Microseconds()) / 1000}
}

// runSSH obeys {"cmd":"tell"|"ask"|"open"|"close"|"keepalive","dst":…,"payload":…}, with "times":N that many in a row, and
// {"cmd":"flood","dst":…,"bytes":N,"ms":N,"times":ASKERS}. "open" opens a channel, which must be refused.
func runSSH(bind string, seed []byte, options sshOptions) {
	p, err := openSSH(bind, seed, options)
	if err != nil {
		fail(err)
	}
	emit(event{Event: "listening", Addr: p.LocalAddr()})
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 16<<20)
	for input.Scan() {
		var c command
		if err := json.Unmarshal(input.Bytes(), &c); err != nil {
			fail(err)
		}
		p.obey(c)
	}
	p.listener.Close()
}

func (p *SSHPeer) obey(c command) {
	s, err := p.session(c.Dst)
	if err != nil {
		emit(event{Event: "error", Dst: c.Dst, Message: err.Error()})
		return
	}
	for i := 0; i < max(c.Times, 1); i++ {
		var response []byte
		var err error
		answers := i+1 == max(c.Times, 1)
		switch c.Cmd {
		case "tell":
			_, _, err = s.conn.SendRequest("", false, c.Payload)
			answers = false
		case "ask":
			response, err = s.Ask(c.Payload)
		case "keepalive":
			var ok bool
			ok, response, err = s.conn.SendRequest("keepalive@openssh.com", true, nil)
			if ok {
				err = errors.New("a keep-alive was taken for a message")
			}
		case "open":
			_, _, err = s.conn.OpenChannel("session", nil)
			var refused *ssh.OpenChannelError
			if errors.As(err, &refused) {
				response, err = []byte(fmt.Sprintf("%d %s", refused.Reason, refused.Message)), nil
			}
		case "close":
			err = s.conn.Close()
			answers = false
		case "flood":
			go emit(s.flood(c.Bytes, c.Ms, max(c.Times, 1)))
			return
		default:
			fail(fmt.Errorf("unknown command %q", c.Cmd))
		}
		if err != nil {
			emit(event{Event: "error", Dst: c.Dst, Message: fmt.Sprintf("after %d: %v", i, err)})
			return
		}
		if answers {
			emit(event{Event: "answer", Dst: c.Dst, Payload: response})
		}
	}
}
