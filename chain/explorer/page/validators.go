package page

import (
	"fmt"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// validatorOf is a validator by its consensus address.
func validatorOf(address string) value {
	return hash(address, "/validator/"+pathName(strings.ToLower(address)))
}

// standsFor is the miner whose storage a validator votes for.
func standsFor(m string) []value {
	if m == "" {
		return only(faint("genesis"))
	}
	return only(miner(m))
}

func validators(v *visit) (*document, error) {
	height := v.param("height")
	all, err := ask[explorer.Validators](v, "/v1/validators", "height", height)
	if err != nil {
		return nil, err
	}
	t := newTable("Who votes on the block, in the order of draws", "Nobody.", "Address", ">Votes", ">Share", "Stands for", "Reward to", "Consensus key")
	for _, one := range all.Items {
		t.row(only(validatorOf(one.Address)), only(number(one.Votes)), only(text(share(one.Votes, all.Votes))), standsFor(one.Miner), only(address(one.Reward)), only(hash(one.ConsensusKey, "")))
	}
	return &document{Title: "Validators", Sections: []section{{
		Form: &form{Action: "/validators", Fields: []field{{Name: "height", Label: "Of block", Value: height, Hint: group(uint64(v.tip) + 1)}}, Submit: "Show"},
		Note: fmt.Sprintf("%s votes on block %s. Votes follow proven storage.", group(all.Votes), group(uint64(all.Next))), Table: t,
		Links: []anchor{asCSV("/v1/validators", "height", height)}}}}, nil
}

// validatorPage is one validator and what it did of late.
func validatorPage(v *visit) (*document, error) {
	one, err := ask[explorer.ValidatorDetail](v, "/v1/validators/"+v.part("address"))
	if err != nil {
		return nil, err
	}
	tiles := []tile{{"Votes", only(number(one.Votes)), []value{ratio(one.Share), faint("of all")}},
		{"Voted for", []value{number(one.Uptime.For), faint("of"), number(one.Uptime.Blocks)}, only(faint("last blocks"))}}
	if one.Rewards != nil {
		tiles = append(tiles, rewardTiles(one.Rewards)...)
	}
	about := facts(
		fact{Label: "Votes on the next block", Values: only(yes(one.Voting))},
		fact{Label: "Stands for", Values: standsFor(one.Miner)},
		fact{Label: "In a vote set since", Values: v.heightAt(one.Since)},
		fact{Label: "Voted last", Values: v.heightAt(one.Uptime.Last)},
		fact{Label: "Did not vote for", Values: v.missedBlocks(one.Uptime.Missed)},
		fact{Label: "Reward to", Values: only(wholeAddress(one.Reward))},
		fact{Label: "Consensus key", Values: only(code(one.ConsensusKey)), Help: "ed25519"},
		fact{Label: "Beacon key", Values: only(code(one.BeaconKey)), Help: "BLS12-381"})
	return &document{Kicker: "Validator", Title: short(one.Address), Name: one.Address, Sections: []section{{Tiles: tiles}, {Facts: about}}}, nil
}

// mostMissed is how many blocks are named that a validator did not vote for.
const mostMissed = 20

func (v *visit) missedBlocks(all []uint64) (out []value) {
	for _, h := range all[:min(len(all), mostMissed)] {
		out = append(out, v.height(chain.Height(h)))
	}
	if len(all) > mostMissed {
		out = append(out, faint("and"), number(uint64(len(all)-mostMissed)), faint("more"))
	}
	return out
}

// votes are those on a block. The next block brings them, so the newest has none yet.
func (v *visit) votes(height string) (*section, error) {
	b, err := ask[explorer.BlockVotes](v, "/v1/blocks/"+height+"/votes")
	if err != nil && missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := newTable("Votes on the block, as the next one brought them", "Nobody voted.", "Validator", "Vote", ">Votes", ">Share", "Stands for")
	for _, one := range b.Items {
		tone := map[string]string{"for": "good", "absent": "bad"}[one.Vote]
		t.row(only(validatorOf(one.Address)), only(value{Kind: "badge", Text: one.Vote, Tone: tone}), only(number(one.Votes)), only(text(share(one.Votes, b.Votes))), standsFor(one.Miner))
	}
	note := fmt.Sprintf("%s of %s votes were for it", group(b.VotesFor), group(b.Votes))
	if b.Round > 0 {
		note += fmt.Sprintf(", in round %d", b.Round)
	}
	return &section{Title: "Votes", Note: note + ".", Table: t, Links: []anchor{asCSV("/v1/blocks/" + height + "/votes").named("The votes as CSV")}}, nil
}
