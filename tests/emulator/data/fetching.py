"""What the tests of FetchXML share: asking, and following cookies as Microsoft's page says."""

from __future__ import annotations

from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from defusedxml.ElementTree import fromstring

CRM = "Microsoft.Dynamics.CRM"
FORMATTED = "OData.Community.Display.V1.FormattedValue"
ATTRIBUTE_NAME = "OData.Community.Display.V1.AttributeName"
EVERYTHING = {"prefer": 'odata.include-annotations="*"'}
PAGING = {"prefer": f'odata.include-annotations="{CRM}.fetchxmlpagingcookie,{CRM}.morerecords"'}
COOKIE, MORE = f"@{CRM}.fetchxmlpagingcookie", f"@{CRM}.morerecords"


def ask(service, xml, entity_set="accounts", more="", **headers):
    """Send a document."""
    return service.get(f"{entity_set}?fetchXml={quote(xml, safe='')}{more}", **headers)


def rows(service, xml, entity_set="accounts", **headers):
    """Send a document that must be answered, and return its rows without their etags."""
    answer = ask(service, xml, entity_set, **headers)
    assert answer.status == 200, answer.content
    return [{name: value for name, value in row.items() if name != "@odata.etag"} for row in answer.rows]


def pages(service, xml, entity_set="accounts"):
    """Ask for page after page: with the cookie, decoded twice, where one is given."""
    document, number = fromstring(xml), 1
    while True:
        answer = ask(service, ET.tostring(document, encoding="unicode"), entity_set, **PAGING)
        assert answer.status == 200, answer.content
        yield answer.json
        if MORE not in answer.json:
            return
        number += 1
        document.set("page", str(number))
        if COOKIE in answer.json:
            cookie = fromstring(answer.json[COOKIE])
            assert cookie.get("pagenumber") == str(number)
            document.set("paging-cookie", unquote(unquote(cookie.get("pagingcookie", ""))))
