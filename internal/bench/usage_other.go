//go:build !unix

package bench

// usage counts nothing where the system is not asked.
func usage() resources { return resources{} }
