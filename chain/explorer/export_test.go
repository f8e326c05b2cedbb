package explorer

import "testing"

// Populated serves a chain with one of everything, for tests that stand
// outside of the package because they import what imports it.
func Populated(t testing.TB, change ...func(*Config)) *API {
	t.Helper()
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n, change...)
	return api
}

// Fresh serves a chain at genesis.
func Fresh(t testing.TB) *API {
	t.Helper()
	api, _ := serve(t, newNetwork(t))
	return api
}
