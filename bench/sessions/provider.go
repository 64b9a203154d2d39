package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// provider is an OpenID provider without passwords: whoever asks is signed in. For benchmarks on loopback only.
type provider struct {
	issuer string
	key    *ecdsa.PrivateKey
}

// grant travels inside the code itself, so that nothing is kept.
type grant struct {
	Nonce     string `json:"n"`
	Challenge string `json:"c"`
	Client    string `json:"a"`
	User      int    `json:"u"`
}

func newProvider(issuer string) (*provider, error) {
	// Always the same key, so that a proxy that knows it from the last run goes on. It protects nothing.
	seed := sha256.Sum256([]byte("a key for benchmarks on loopback"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	return &provider{issuer: issuer, key: key}, err
}

func (op *provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer":                                         op.issuer,
			"authorization_endpoint":                         op.issuer + "/authorize",
			"token_endpoint":                                 op.issuer + "/token",
			"jwks_uri":                                       op.issuer + "/jwks",
			"response_types_supported":                       []string{"code"},
			"subject_types_supported":                        []string{"public"},
			"id_token_signing_alg_values_supported":          []string{"ES256"},
			"code_challenge_methods_supported":               []string{"S256"},
			"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
			"authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"keys": []any{map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "bench",
			"x": encode(op.key.X.FillBytes(make([]byte, 32))),
			"y": encode(op.key.Y.FillBytes(make([]byte, 32))),
		}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		callback, err := op.authorize(r.URL, 0)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, callback, http.StatusFound)
	})
	mux.HandleFunc("POST /token", op.token)
	return mux
}

// authorize answers an authentication request for that user and gives the callback's URL.
func (op *provider) authorize(request *url.URL, user int) (string, error) {
	query := request.Query()
	callback, err := url.Parse(query.Get("redirect_uri"))
	if err != nil || callback.Host == "" {
		return "", errors.New("no redirect_uri")
	}
	code, err := json.Marshal(grant{query.Get("nonce"), query.Get("code_challenge"), query.Get("client_id"), user})
	if err != nil {
		return "", err
	}
	answer := callback.Query()
	answer.Set("code", encode(code))
	answer.Set("state", query.Get("state"))
	answer.Set("iss", op.issuer)
	callback.RawQuery = answer.Encode()
	return callback.String(), nil
}

func (op *provider) token(w http.ResponseWriter, r *http.Request) {
	raw, err := base64.RawURLEncoding.DecodeString(r.PostFormValue("code"))
	var given grant
	if err != nil || json.Unmarshal(raw, &given) != nil {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if given.Challenge != "" && encode(verifier[:]) != given.Challenge {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	now := time.Now().Unix()
	idToken, err := op.sign(map[string]any{
		"iss": op.issuer, "aud": given.Client, "sub": fmt.Sprintf("user-%06d", given.User),
		"iat": now, "exp": now + 300, "auth_time": now, "nonce": given.Nonce,
		"email": fmt.Sprintf("user-%06d@bench.example", given.User), "email_verified": true,
		"name": fmt.Sprintf("User Number %d", given.User), "given_name": "User", "family_name": fmt.Sprintf("Number %d", given.User),
		"preferred_username": fmt.Sprintf("user-%06d", given.User),
		"groups":             []string{"engineering", "staff"},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, map[string]any{"access_token": "bench", "token_type": "Bearer", "expires_in": 300, "id_token": idToken})
}

func (op *provider) sign(claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	input := encode([]byte(`{"alg":"ES256","kid":"bench","typ":"JWT"}`)) + "." + encode(body)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, op.key, digest[:])
	if err != nil {
		return "", err
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return strings.Join([]string{input, encode(signature)}, "."), nil
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value)
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
