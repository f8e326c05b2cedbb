package light

import (
	"errors"
	"fmt"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain/state/proof"
)

// errHeader is wrapped for bytes that are no header with votes and validators.
var errHeader = errors.New("not a header with its votes and validators")

// decodeHeader reads a light block and checks that its parts belong together,
// but no signature.
func decodeHeader(raw []byte) (*types.LightBlock, error) {
	if len(raw) > proof.MaxHeaderBytes {
		return nil, fmt.Errorf("%w: %d bytes exceed %d", errHeader, len(raw), proof.MaxHeaderBytes)
	}
	var p cmtproto.LightBlock
	if err := p.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", errHeader, err)
	}
	b, err := types.LightBlockFromProto(&p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHeader, err)
	}
	if b.SignedHeader == nil || b.Header == nil {
		return nil, fmt.Errorf("%w: there is none", errHeader)
	}
	if err := b.ValidateBasic(b.ChainID); err != nil {
		return nil, fmt.Errorf("%w: height %d: %w", errHeader, b.Height, err)
	}
	return b, nil
}

// encodeHeader writes what decodeHeader reads.
func encodeHeader(b *types.LightBlock) ([]byte, error) {
	p, err := b.ToProto()
	if err != nil {
		return nil, fmt.Errorf("encode header of height %d: %w", b.Height, err)
	}
	return p.Marshal()
}

// decodeHeaders reads the headers of a bundle, which must rise on one chain.
func decodeHeaders(b *proof.Bundle) ([]*types.LightBlock, error) {
	out := make([]*types.LightBlock, len(b.Headers))
	for i := range b.Headers {
		h, err := decodeHeader(b.Headers[i].Light)
		if err != nil {
			return nil, err
		}
		if i > 0 && (h.Height <= out[i-1].Height || h.ChainID != out[0].ChainID) {
			return nil, fmt.Errorf("%w: height %d of %s follows height %d of %s", proof.ErrBundle,
				h.Height, h.ChainID, out[i-1].Height, out[i-1].ChainID)
		}
		out[i] = h
	}
	return out, nil
}
