// samlidp serves github.com/crewjam/saml/samlidp on loopback as a SAML IdP of the interop suite. People, SPs and portal
// shortcuts are kept in memory and come by samlidp's own PUT /users/{name}, /services/{name} and /shortcuts/{name}.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"flag"
	"log"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlidp"
	dsig "github.com/russellhaering/goxmldsig"
)

// settings is what the suite changes while the IdP runs, by PUT /settings.
type settings struct {
	// SignatureMethod is the signature's algorithm URI. The library's own default is RSA with SHA-1.
	SignatureMethod string `json:"signature_method"`
	// NameIDFormat is the format that assertions claim for the user's name: the library's own default is transient.
	NameIDFormat string `json:"name_id_format"`
	// NameID is what names the user: email (the library's own) or user.
	NameID string `json:"name_id"`
}

// people asks samlidp who is there and names them as the settings say.
type people struct {
	server *samlidp.Server
	mu     sync.Mutex
	now    settings
}

func (p *people) GetSession(w http.ResponseWriter, r *http.Request, req *saml.IdpAuthnRequest) *saml.Session {
	session := p.server.GetSession(w, r, req)
	if session == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	named := *session
	named.NameIDFormat = p.now.NameIDFormat
	if p.now.NameID == "user" {
		named.NameID = session.UserName
	}
	return &named
}

func (p *people) put(w http.ResponseWriter, r *http.Request) {
	var wanted settings
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = wanted
	p.server.IDP.SignatureMethod = wanted.SignatureMethod
	w.WriteHeader(http.StatusNoContent)
}

func selfSigned() (*rsa.PrivateKey, *x509.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "samlidp"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return key, certificate, err
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the server")
	public := flag.String("url", "", "the IdP's URL as browsers see it")
	flag.Parse()
	base, err := url.Parse(*public)
	if err != nil {
		log.Fatal(err)
	}
	key, certificate, err := selfSigned()
	if err != nil {
		log.Fatal(err)
	}
	server, err := samlidp.New(samlidp.Options{URL: *base, Key: key, Certificate: certificate, Store: &samlidp.MemoryStore{}})
	if err != nil {
		log.Fatal(err)
	}
	who := &people{server: server, now: settings{
		SignatureMethod: dsig.RSASHA256SignatureMethod,
		NameIDFormat:    string(saml.PersistentNameIDFormat),
		NameID:          "user",
	}}
	server.IDP.SignatureMethod = who.now.SignatureMethod
	server.IDP.SessionProvider = who

	mux := http.NewServeMux()
	mux.HandleFunc("PUT /settings", who.put)
	mux.Handle("/", server)
	log.Fatal(http.ListenAndServe(*listen, mux))
}
