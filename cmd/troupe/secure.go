package main

import (
	"cmp"
	"crypto/tls"
	"flag"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
)

// secure is the flags of TLS with the nodes' client ports.
type secure struct{ ca, cert, key string }

func (s *secure) register(flags *flag.FlagSet) {
	flags.StringVar(&s.ca, "cacert", "",
		"PEM `file` with the authority that signed the nodes' certificates: speak TLS; else from TROUPE_CACERT")
	flags.StringVar(&s.cert, "cert", "", "PEM `file` with the certificate to show to nodes; else from TROUPE_CERT")
	flags.StringVar(&s.key, "key", "", "PEM `file` with the certificate's key; else from TROUPE_KEY")
}

// config is nil when TLS is not asked for.
func (s secure) config(t *terminal) (*tls.Config, error) {
	s.ca, s.cert, s.key = cmp.Or(s.ca, t.env("TROUPE_CACERT")), cmp.Or(s.cert, t.env("TROUPE_CERT")), cmp.Or(s.key, t.env("TROUPE_KEY"))
	switch {
	case (s.cert == "") != (s.key == ""):
		return nil, usagef("a certificate and its key go together: give both --cert and --key, or none")
	case s.ca == "" && s.cert != "":
		return nil, usagef("--cert and --key are for TLS: give --cacert, too")
	case s.ca == "":
		return nil, nil
	}
	return client.LoadTLS(s.ca, s.cert, s.key)
}

// peerTLS is what the flags of serve ask for between nodes; nil: plain text.
func peerTLS(files cluster.TLS) (*cluster.TLS, error) {
	switch {
	case files == (cluster.TLS{}):
		return nil, nil
	case files.CertFile == "" || files.KeyFile == "" || files.CAFile == "":
		return nil, usagef("TLS between nodes needs all of --peer-cert, --peer-key and --peer-ca")
	}
	return &files, nil
}

// clientTLS is what the flags of serve ask for on the client port; nil: plain text.
func clientTLS(files cluster.ClientTLS) (*cluster.ClientTLS, error) {
	switch {
	case files == (cluster.ClientTLS{}):
		return nil, nil
	case files.CertFile == "" && files.KeyFile == "":
		return nil, usagef("--client-ca is for TLS with clients: give --client-cert and --client-key, too")
	case files.CertFile == "" || files.KeyFile == "":
		return nil, usagef("a certificate and its key go together: give both --client-cert and --client-key")
	}
	return &files, nil
}
