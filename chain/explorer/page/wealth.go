package page

import (
	"math/big"
	"strconv"

	"github.com/perdure/perdure/chain/explorer"
)

// ratio writes a share that the API rounded to six decimals.
func ratio(f float64) value {
	return value{Kind: "data", Text: percent(big.NewInt(int64(f*1e6)), big.NewInt(1e6)), Exact: strconv.FormatFloat(f, 'f', -1, 64)}
}

// accounts lists who has how much.
func accounts(v *visit) (*document, error) {
	l, err := ask[explorer.List[*explorer.RichAccount]](v, "/v1/accounts", "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	t := newTable("Accounts by free balance", "No accounts.", ">Rank", "Account", ">Balance", ">Share")
	for _, a := range l.Items {
		t.row(only(number(a.Rank)), only(address(a.Address)), only(amount(a.Balance)), only(ratio(a.Share)))
	}
	var links []anchor
	if v.param("cursor") != "" {
		links = append(links, anchor{"Richest", "/accounts"})
	}
	if l.Next != "" {
		links = append(links, anchor{"Next", at("/accounts", "cursor", l.Next)})
	}
	return &document{Title: "Accounts", Sections: []section{{Note: "The share is of all money that is not burned. What is locked in orders, deals, channels and pledge is nobody's balance.",
		Table: t, Links: append(links, asCSV("/v1/accounts"))}}}, nil
}

// balanceTable is a statement of an account.
func (v *visit) balanceTable(caption string, all []*explorer.BalanceChange) *table {
	t := newTable(caption, "Nothing was moved.", "Block", "Time", ">Change", ">Balance")
	for _, b := range all {
		t.row(only(v.height(b.Height)), only(moment(b.Time)), only(change(b.Change)), only(amount(b.Balance)))
	}
	return t
}

// change is an amount that has come or gone.
func change(atto string) value {
	n, ok := new(big.Int).SetString(atto, 10)
	if !ok {
		return text(atto)
	}
	sign := "+"
	if n.Sign() < 0 {
		sign = "−"
	}
	return value{Kind: "data", Text: sign + pdr(new(big.Int).Abs(n)), Exact: atto, Title: atto + " attoPDR"}
}

// balanceList is the statement of an account.
func balances(v *visit) (*document, error) {
	who := v.r.PathValue("address")
	api := "/v1/accounts/" + v.part("address") + "/balances"
	n := v.narrow(&list{page: "/account/" + v.part("address") + "/balances", api: api, ranged: true, order: byTime})
	l, err := ask[explorer.List[*explorer.BalanceChange]](v, api, n.asked(v)...)
	if err != nil {
		return nil, err
	}
	links := append(n.links(v, l.Next), anchor{"Account " + clip(short(who)), "/account/" + v.part("address")})
	return &document{Kicker: "Account " + clip(short(who)), Title: "Balances", Sections: []section{{Form: n.form, Note: v.gaps(l.Gaps),
		Table: v.balanceTable("Balance after each block that moved it", l.Items), Links: links}}}, nil
}

// statement is the beginning of it.
func (v *visit) statement(address string) (*section, error) {
	api := "/v1/accounts/" + address + "/balances"
	l, err := ask[explorer.List[*explorer.BalanceChange]](v, api, "limit", beside)
	if err != nil {
		return nil, err
	}
	return &section{Title: "Balances", Table: v.balanceTable("Balance after each block that moved it, newest first", l.Items),
		Links: []anchor{{"Whole statement", "/account/" + address + "/balances"}, asCSV(api)}}, nil
}
