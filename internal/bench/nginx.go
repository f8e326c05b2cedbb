package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// nginx serves the file over TLS 1.3.
type nginx struct {
	program
	url    string
	sha256 string
}

func startNginx(m *market, path string) (*nginx, error) {
	m.cfg.Log("starting nginx")
	dir := filepath.Join(m.cfg.Dir, "nginx")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeCertificate(dir); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // whose directory the file is in
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`%sdaemon off;
master_process off;
pid %[2]s/pid;
error_log %[2]s/error.log;
events {}
http {
	access_log off;
	sendfile on;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen %[3]s ssl;
		ssl_protocols TLSv1.3;
		ssl_certificate %[2]s/cert.pem;
		ssl_certificate_key %[2]s/key.pem;
		location = /file { alias %[4]s; }
	}
}
`, user, dir, address, m.path)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	n := &nginx{program{exec.Command(path, "-c", config, "-e", filepath.Join(dir, "start.log"))}, "https://" + address + "/file", hex.EncodeToString(m.sha256[:])}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	m.others = append(m.others, n)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return n, conn.Close()
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("nginx does not start: %w", err)
		}
	}
}

// writeCertificate makes a certificate for 127.0.0.1 that nobody else trusts.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// hash downloads the file by curl into openssl, which hashes it.
func (n *nginx) hash(ctx context.Context, curl, openssl string) (s spent, err error) {
	get, sum := exec.CommandContext(ctx, curl, "-sSk", "--tlsv1.3", n.url), exec.CommandContext(ctx, openssl, "dgst", "-sha256")
	read, write, err := os.Pipe()
	if err != nil {
		return s, err
	}
	var out bytes.Buffer
	get.Stdout, sum.Stdin, sum.Stdout = write, read, &out
	get.Stderr, sum.Stderr = os.Stderr, os.Stderr
	before, start := n.processor(), time.Now()
	err = errors.Join(get.Start(), sum.Start(), write.Close(), read.Close())
	if err == nil {
		err = errors.Join(get.Wait(), sum.Wait())
	}
	s.clock = time.Since(start).Seconds()
	s.buyer, s.seller = used(get)+used(sum), n.processor()-before
	if err == nil && !strings.Contains(out.String(), n.sha256) {
		err = fmt.Errorf("the file has the SHA-256 %s, came %q", n.sha256, out.String())
	}
	return s, err
}
