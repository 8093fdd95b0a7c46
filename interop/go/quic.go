package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha3"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// docs/wire/quic.md, "The swarm", with the habits of go-p2p's quicswarm: of a request and of an answer exactly the frame
// is read and never the end behind it, and the end of a request is sent only after the answer has come.

const (
	quicMaxMessage = 1 << 20
	quicAskTimeout = 3 * time.Second
)

type quicOptions struct {
	alpn   string
	noCert bool
}

// QuicPeer is a node that speaks the wire of shoal/quic.
type QuicPeer struct {
	key       ed25519.PrivateKey
	transport *quic.Transport
	tls       *tls.Config
	mu        sync.Mutex
	sessions  map[string]*quic.Conn
}

var quicConfig = &quic.Config{MaxIdleTimeout: 30 * time.Second, EnableDatagrams: true}

func quicID(key ed25519.PublicKey) string {
	sum := sha3.Sum256(marshalKey(key))
	return peerIDText.EncodeToString(sum[:])
}

func openQuic(bind string, seed []byte, options quicOptions) (*QuicPeer, error) {
	key := ed25519.NewKeyFromSeed(seed)
	addr, err := net.ResolveUDPAddr("udp", bind)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 130))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             time.Now(),
		NotAfter:              time.Now().AddDate(0, 1, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true,
		NextProtos:         []string{options.alpn},
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	p := &QuicPeer{key: key, transport: &quic.Transport{Conn: conn}, tls: config, sessions: map[string]*quic.Conn{}}
	listener, err := p.transport.Listen(config, quicConfig)
	if err != nil {
		return nil, err
	}
	if options.noCert {
		p.tls = config.Clone()
		p.tls.Certificates = nil
	}
	go func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			p.begin(conn, p.addrOf(conn))
		}
	}()
	return p, nil
}

// LocalAddr is <PeerID>@<ip:port>.
func (p *QuicPeer) LocalAddr() string {
	return quicID(p.key.Public().(ed25519.PublicKey)) + "@" + p.transport.Conn.LocalAddr().String()
}

func (p *QuicPeer) addrOf(conn *quic.Conn) string {
	key, ok := conn.ConnectionState().TLS.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return "?@" + conn.RemoteAddr().String()
	}
	return quicID(key) + "@" + conn.RemoteAddr().String()
}

// session looks for a connection and dials one where there is none. As in the original nothing is locked in between: of
// several first messages at once each dials a connection of its own, and stays with it.
func (p *QuicPeer) session(dst string) (*quic.Conn, error) {
	p.mu.Lock()
	conn := p.sessions[dst]
	p.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	want, where, _ := strings.Cut(dst, "@")
	addr, err := net.ResolveUDPAddr("udp", where)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), quicAskTimeout)
	defer cancel()
	conn, err = p.transport.Dial(ctx, addr, p.tls, quicConfig)
	if err != nil {
		return nil, err
	}
	have := p.addrOf(conn)
	if have != dst {
		err := fmt.Errorf("wrong peer HAVE: %s WANT: %s", have, want)
		conn.CloseWithError(1, err.Error())
		return nil, err
	}
	p.begin(conn, dst)
	return conn, nil
}

func (p *QuicPeer) begin(conn *quic.Conn, src string) {
	p.mu.Lock()
	p.sessions[src] = conn
	p.mu.Unlock()
	emit(event{Event: "session", Peer: src})
	go func() {
		<-conn.Context().Done()
		p.mu.Lock()
		if p.sessions[src] == conn {
			delete(p.sessions, src)
		}
		p.mu.Unlock()
		emit(event{Event: "closed", Src: src, Message: context.Cause(conn.Context()).Error()})
	}()
	go func() {
		for {
			stream, err := conn.AcceptUniStream(context.Background())
			if err != nil {
				return
			}
			go func() {
				payload, err := io.ReadAll(io.LimitReader(stream, quicMaxMessage))
				if err != nil {
					emit(event{Event: "error", Src: src, Message: err.Error()})
					return
				}
				emit(event{Event: "tell", Src: src, Payload: payload})
			}()
		}
	}()
	go func() {
		for {
			stream, err := conn.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go serveQuicAsk(stream)
		}
	}()
}

func serveQuicAsk(stream *quic.Stream) {
	request, err := readFrame(stream)
	if err != nil {
		return // the stream stays open, as the original leaves it
	}
	if string(request) == "hold" {
		return // never answered
	}
	defer stream.Close()
	switch {
	case string(request) == "refuse":
		return
	case strings.HasPrefix(string(request), "size:"):
		var n int
		if _, err := fmt.Sscanf(string(request), "size:%d", &n); err == nil {
			writeFrame(stream, make([]byte, n))
		}
	default:
		writeFrame(stream, request)
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length > quicMaxMessage {
		return nil, errors.New("frame too large")
	}
	payload := make([]byte, length)
	_, err := io.ReadFull(r, payload)
	return payload, err
}

func writeFrame(w io.Writer, payload []byte) error {
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

// Ask sends one request.
func (p *QuicPeer) Ask(dst string, request []byte) ([]byte, error) {
	conn, err := p.session(dst)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), quicAskTimeout)
	defer cancel()
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	stream.SetDeadline(time.Now().Add(quicAskTimeout))
	if err := writeFrame(stream, request); err != nil {
		return nil, err
	}
	response, err := readFrame(stream)
	stream.Close()
	return response, err
}

// Tell sends one message.
func (p *QuicPeer) Tell(dst string, payload []byte) error {
	conn, err := p.session(dst)
	if err != nil {
		return err
	}
	stream, err := conn.OpenUniStream()
	if err != nil {
		return err
	}
	if _, err := stream.Write(payload); err != nil {
		return err
	}
	return stream.Close()
}

// runQuic obeys {"cmd":"tell"|"ask","dst":…,"payload":…}; with "times":N that many in a row, answered by one event; and
// {"cmd":"close","dst":…,"counter":CODE}.
func runQuic(bind string, seed []byte, options quicOptions) {
	p, err := openQuic(bind, seed, options)
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
		go p.obey(c)
	}
	p.mu.Lock()
	for _, conn := range p.sessions {
		conn.CloseWithError(0, "")
	}
	p.mu.Unlock()
	p.transport.Close()
}

func (p *QuicPeer) obey(c command) {
	for i := 0; i < max(c.Times, 1); i++ {
		var response []byte
		var err error
		switch c.Cmd {
		case "tell":
			err = p.Tell(c.Dst, c.Payload)
		case "ask":
			response, err = p.Ask(c.Dst, c.Payload)
		case "close":
			var conn *quic.Conn
			if conn, err = p.session(c.Dst); err == nil {
				err = conn.CloseWithError(quic.ApplicationErrorCode(c.Counter), "as told")
			}
		default:
			fail(fmt.Errorf("unknown command %q", c.Cmd))
		}
		if err != nil {
			emit(event{Event: "error", Dst: c.Dst, Message: fmt.Sprintf("after %d: %v", i, err)})
			return
		}
		if c.Cmd == "ask" && i+1 == max(c.Times, 1) {
			emit(event{Event: "answer", Dst: c.Dst, Payload: response})
		}
	}
}
