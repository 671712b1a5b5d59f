"""The sample company: a few hundred rows that hang together, the same in every run.

Between ordinary rows stand the ones that break naive code: nulls, the longest text a column takes, dates
before 1900, negative and four-digit amounts, other scripts, a column nobody ever filled.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed import words
from airflow_provider_dynamics.emulator.seed.identities import EURO, ROOT_UNIT, SERVICE_USER
from airflow_provider_dynamics.emulator.seed.platform import FOUNDED, at
from airflow_provider_dynamics.emulator.writing.writer import Writer

Row = dict[str, Any]
CONTACTS, LEADS, OPPORTUNITIES, INCIDENTS, TASKS, SHIPMENTS = 95, 24, 36, 30, 48, 60
_SELLERS = (("Anne", "Weiler"), ("Greg", "Winston"), ("Jürgen", "Süß"))


class Company:
    """Writes the sample rows; ``fill`` once on an environment that has its platform rows."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._random = random.Random("contoso")
        self._now = FOUNDED + timedelta(days=30)
        self._owners: list[str] = []

    def fill(self) -> None:
        """All tables, in an order that lets lookups point backwards."""
        self._staff()
        accounts = self._each("account", len(words.COMPANIES), self._account)
        contacts = self._each("contact", CONTACTS, lambda index: self._contact(index, accounts))
        self._links(accounts, contacts)
        leads = self._each("lead", LEADS, self._lead)
        opportunities = self._each(
            "opportunity", OPPORTUNITIES, lambda index: self._opportunity(index, accounts, contacts)
        )
        incidents = self._each("incident", INCIDENTS, lambda index: self._incident(index, accounts, contacts))
        regarding = {
            "account": accounts,
            "contact": contacts,
            "lead": leads,
            "opportunity": opportunities,
            "incident": incidents,
        }
        self._each("task", TASKS, lambda index: self._task(index, regarding))
        self._each("contoso_shipment", SHIPMENTS, lambda index: self._shipment(index, accounts))

    def _each(self, table: str, count: int, make: Callable[[int], Row]) -> list[str]:
        ids = []
        for index in range(count):
            self._now += timedelta(minutes=self._random.randint(3, 600))
            row_id = stable_id(table, str(index))
            body = {TABLES[table].primary_id: row_id, **make(index)}
            body = {name: value for name, value in body.items() if value is not None}
            # These rows were closed long ago: nobody can make a row in another state than its first.
            state = {"statecode": body.pop("statecode")} if "statecode" in body else {}
            ids.append(self._writer.create(at(self._now, SERVICE_USER), TABLES[table], body, state))
        return ids

    def _day(self, first_year: int, last_year: int) -> str:
        start = datetime(first_year, 1, 1)  # noqa: DTZ001 - a calendar date
        days = (datetime(last_year, 12, 31) - start).days  # noqa: DTZ001 - a calendar date
        return (start + timedelta(days=self._random.randint(0, days))).date().isoformat()

    def _moment(self) -> str:
        return (
            f"{self._day(2023, 2025)}T{self._random.randint(0, 23):02d}:{self._random.randint(0, 59):02d}:00Z"
        )

    def _owner(self, suffix: str = "") -> Row:
        return {f"ownerid{suffix}@odata.bind": self._random.choice(self._owners)}

    def _address(self) -> Row:
        city, state, postcode, country, latitude, longitude = self._random.choice(words.CITIES)
        return {
            "address1_line1": self._random.choice(words.STREETS),
            "address1_city": city,
            "address1_stateorprovince": state,
            "address1_postalcode": postcode,
            "address1_country": country,
            "address1_latitude": latitude,
            "address1_longitude": longitude,
        }

    def _staff(self) -> None:
        call = at(self._now)
        unit = stable_id("businessunit", "europe")
        body = {
            "businessunitid": unit,
            "name": "Contoso Europe",
            "parentbusinessunitid@odata.bind": f"/businessunits({ROOT_UNIT})",
        }
        self._writer.create(call, TABLES["businessunit"], body)
        for index, (first, last) in enumerate(_SELLERS):
            name = f"seller{index}@contoso.example"
            body = {
                "systemuserid": stable_id("systemuser", name),
                "firstname": first,
                "lastname": last,
                "domainname": name,
                "internalemailaddress": name,
                "title": "Sales Representative",
                "azureactivedirectoryobjectid": stable_id("entra", name),
                "businessunitid@odata.bind": f"/businessunits({unit if index else ROOT_UNIT})",
            }
            self._owners.append(f"/systemusers({self._writer.create(call, TABLES['systemuser'], body)})")
        team = {
            "teamid": stable_id("team", "europe"),
            "name": "Key Accounts Europe",
            "businessunitid@odata.bind": f"/businessunits({unit})",
        }
        self._owners.append(f"/teams({self._writer.create(call, TABLES['team'], team)})")

    # -- customers ----------------------------------------------------------------------------------

    def _account(self, index: int) -> Row:
        pick = self._random
        row: Row = {
            "name": words.COMPANIES[index],
            "accountnumber": f"ACC-{index + 1:05d}",
            "accountcategorycode": pick.choice((1, 2, None)),
            "customertypecode": pick.choice((3, 8, 10, None)),
            "industrycode": pick.choice((1, 6, 7, 12, 16, 33, None)),
            "ownershipcode": pick.choice((1, 2, None)),
            "paymenttermscode": pick.choice((1, 2, 3, 4)),
            "contoso_services": pick.choice(
                ("100000000", "100000000,100000002", "100000001,100000003,100000004", None)
            ),
            "description": words.LONG_TEXT if index == 3 else pick.choice(("Key customer.", None)),
            "emailaddress1": f"info{index}@{pick.choice(words.DOMAINS)}",
            "telephone1": f"555-{pick.randint(1000, 9999)}",
            "websiteurl": pick.choice((f"https://www.{words.DOMAINS[index % 4]}/", None)),
            "numberofemployees": pick.choice((4, 25, 230, 4800, None)),
            "revenue": pick.choice((5_000_000, 123456.78, 0, 922337203685.47, None)),
            "creditlimit": pick.choice((10000, 25000.5, None)),
            "marketcap": pick.choice((-150000.25, None)),
            "creditonhold": index % 7 == 0,
            "donotbulkemail": index % 5 == 0,
            "contoso_foundedon": "1753-01-01" if index == 0 else self._day(1850, 2020),
            "contoso_nextdelivery": self._moment() if index % 3 else None,
            "lastusedincampaign": self._moment() if index % 4 == 0 else None,
            **self._address(),
            **self._owner(),
        }
        if index % 6 == 5:
            row["transactioncurrencyid@odata.bind"] = f"/transactioncurrencies({EURO})"
        if index % 11 == 10:
            row |= {"statecode": 1, "statuscode": 2}
        return row

    def _contact(self, index: int, accounts: list[str]) -> Row:
        pick = self._random
        first, last = words.FIRST_NAMES[index % 17], words.LAST_NAMES[index % 13]
        row: Row = {
            "firstname": first if index % 19 else None,
            "lastname": last,
            "jobtitle": pick.choice(words.JOB_TITLES),
            "emailaddress1": f"contact{index}@{words.DOMAINS[index % 4]}" if index % 9 else None,
            "telephone1": f"555-{pick.randint(1000, 9999)}",
            "mobilephone": pick.choice((f"+49 171 {pick.randint(100000, 999999)}", None)),
            "gendercode": pick.choice((1, 2, None)),
            "familystatuscode": pick.choice((1, 2, 3, 4, None)),
            "sample_outdooractivities": pick.choice(("1,9", "4", "1,4,7", "4,5,9", None)),
            "birthdate": self._day(1893, 2004) if index % 4 else None,
            "anniversary": self._day(1970, 2023) if index % 6 == 0 else None,
            "annualincome": pick.choice((48000, 72500.75, -1, None)),
            "numberofchildren": pick.choice((0, 1, 2, 3, None)),
            "creditonhold": index % 10 == 0,
            **self._address(),
            **self._owner(),
        }
        if index % 8 == 7:
            row["parentcustomerid_contact@odata.bind"] = f"/contacts({stable_id('contact', str(index - 1))})"
        elif index % 8:
            row["parentcustomerid_account@odata.bind"] = f"/accounts({pick.choice(accounts)})"
        return row

    def _links(self, accounts: list[str], contacts: list[str]) -> None:
        for index, account in enumerate(accounts):
            if index % 5 == 4:
                continue
            body = {"primarycontactid@odata.bind": f"/contacts({contacts[index * 2]})"}
            if index % 4 == 3:
                body["parentaccountid@odata.bind"] = f"/accounts({accounts[index // 4]})"
            self._now += timedelta(minutes=1)
            self._writer.update(at(self._now, SERVICE_USER), TABLES["account"], account, body)

    def _customer(self, accounts: list[str], contacts: list[str]) -> Row:
        if self._random.random() < 0.3:
            return {"customerid_contact@odata.bind": f"/contacts({self._random.choice(contacts)})"}
        return {"customerid_account@odata.bind": f"/accounts({self._random.choice(accounts)})"}

    # -- sales and service --------------------------------------------------------------------------

    def _lead(self, index: int) -> Row:
        pick = self._random
        return {
            "subject": f"Interested in our {pick.choice(words.PRODUCTS)}",
            "firstname": pick.choice(words.FIRST_NAMES),
            "lastname": pick.choice(words.LAST_NAMES),
            "companyname": f"{pick.choice(words.LAST_NAMES)} & Partner",
            "emailaddress1": f"lead{index}@{pick.choice(words.DOMAINS)}",
            "leadqualitycode": pick.choice((1, 2, 3)),
            "leadsourcecode": pick.choice((1, 6, 7, 8, None)),
            "estimatedamount": pick.choice((1500, 99999.99, None)),
            "estimatedclosedate": self._day(2024, 2026),
            "statecode": 2 if index % 6 == 5 else 0,
            **self._address(),
            **self._owner(),
        }

    def _opportunity(self, index: int, accounts: list[str], contacts: list[str]) -> Row:
        pick = self._random
        state, status = ((0, 1), (0, 2), (1, 3), (2, 5))[index % 4]
        return {
            "name": f"{pick.randint(2, 40)} x {pick.choice(words.PRODUCTS)}",
            "estimatedvalue": pick.choice((4200, 58000.5, 1_250_000)),
            "actualvalue": 60000.25 if state == 1 else None,
            "discountpercentage": pick.choice((2.5, 10, None)),
            "closeprobability": pick.choice((10, 40, 90, None)),
            "estimatedclosedate": self._day(2024, 2026),
            "purchasetimeframe": pick.choice((0, 1, 2, None)),
            "statecode": state,
            "statuscode": status,
            **self._customer(accounts, contacts),
            **self._owner(),
        }

    def _incident(self, index: int, accounts: list[str], contacts: list[str]) -> Row:
        pick = self._random
        return {
            "title": pick.choice(words.CASES),
            "ticketnumber": f"CAS-{index + 1:05d}-C{index:03d}",
            "description": pick.choice(("Customer called twice.", None)),
            "prioritycode": pick.choice((1, 2, 3)),
            "caseorigincode": pick.choice((1, 2, 3)),
            "isescalated": index % 9 == 0,
            "followupby": self._moment() if index % 3 == 0 else None,
            "statecode": 1 if index % 4 == 3 else 0,
            **self._customer(accounts, contacts),
            **self._owner(),
        }

    def _task(self, index: int, regarding: dict[str, list[str]]) -> Row:
        pick = self._random
        table = list(regarding)[index % len(regarding)]
        link = f"/{TABLES[table].set_name}({pick.choice(regarding[table])})"
        done = index % 5 == 4
        return {
            "subject": f"{pick.choice(words.TASKS)} {pick.choice(words.PRODUCTS)}",
            "prioritycode": pick.choice((0, 1, 2)),
            "scheduledend": self._moment(),
            "actualdurationminutes": 30 if done else None,
            "percentcomplete": 100 if done else None,
            "statecode": int(done),
            "statuscode": 5 if done else 2,
            f"regardingobjectid_{table}_task@odata.bind": link if index % 7 else None,
            **self._owner("_task"),
        }

    def _shipment(self, index: int, accounts: list[str]) -> Row:
        pick = self._random
        return {
            "contoso_name": f"Shipment of {pick.choice(words.PRODUCTS)}s",
            "contoso_number": f"SHP-{index + 1:06d}",
            "contoso_ordernumber": f"SO-{index // 3 + 1:04d}",
            "contoso_position": index % 3 + 1,
            "contoso_carrier": pick.choice((100000000, 100000001, 100000002, 100000003)),
            "contoso_weight": pick.choice((0.125, 12.5, 1999.999, None)),
            "contoso_volume": pick.choice((0.25, 3.14, None)),
            "contoso_unitcost": pick.choice((0.0049, 19.9999, -3.5, 1234.5678)),
            "contoso_isfragile": index % 4 == 0,
            "contoso_shippedon": self._day(2023, 2025),
            "contoso_deliveredat": self._moment() if index % 3 else None,
            "contoso_AccountId@odata.bind": f"/accounts({pick.choice(accounts)})",
            **self._owner(),
        }
