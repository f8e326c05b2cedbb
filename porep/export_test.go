package porep

// Together checks a proof in one batch alone, OneByOne hash by hash alone.

func (p Params) Together(in SealInput, proof []byte) error {
	shared, err := newPart(p, in)
	if err == nil {
		err = p.checkHeader(in, proof)
	}
	if err == nil {
		err = shared.holds(in.CommD, proof)
	}
	return err
}

func (p Params) OneByOne(in SealInput, proof []byte) error {
	shared, err := newPart(p, in)
	if err == nil {
		err = p.checkHeader(in, proof)
	}
	if err == nil {
		err = shared.oneByOne(in, proof)
	}
	return err
}
