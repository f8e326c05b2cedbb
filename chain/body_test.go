package chain

import (
	"reflect"
	"testing"
)

// minerField finds the field Miner of a body, or of a struct in it.
func minerField(v reflect.Value) (reflect.Value, bool) {
	for i := range v.NumField() {
		f := v.Field(i)
		if v.Type().Field(i).Name == "Miner" && f.Type() == reflect.TypeFor[MinerID]() {
			return f, true
		}
		if f.Kind() == reflect.Struct {
			if found, ok := minerField(f); ok {
				return found, true
			}
		}
	}
	return reflect.Value{}, false
}

// TestMinerBodies: of all kinds there are, the bodies with a miner say which, and
// no others do.
func TestMinerBodies(t *testing.T) {
	with := 0
	for _, k := range kindNames {
		body, ok := NewBody(k.kind)
		if !ok {
			t.Fatalf("kind %s has no body", k.name)
		}
		about, says := body.(MinerBody)
		field, has := minerField(reflect.ValueOf(body).Elem())
		if says != has {
			t.Errorf("%s: has a miner: %t, says which: %t", k.name, has, says)
		}
		if !has || !says {
			continue
		}
		with++
		field.SetUint(1005)
		if id := about.OfMiner(); id != 1005 {
			t.Errorf("%s of miner 1005 says that it is about %d", k.name, id)
		}
	}
	if with < 11 || with == len(kindNames) {
		t.Errorf("%d of %d kinds have a miner", with, len(kindNames))
	}
}
