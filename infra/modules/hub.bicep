// The Event Hub that Entra ID writes sign-ins to: a namespace of its own, one hub, one consumer group, one key to send.

@description('Region of the namespace.')
param location string

@description('Tags of the namespace.')
param tags object

@description('Name of the Event Hubs namespace; unique in Azure.')
@minLength(6)
@maxLength(50)
param namespaceName string

@description('Name of the hub.')
@minLength(1)
@maxLength(256)
param hubName string

@description('Consumer group of the function app.')
@minLength(1)
@maxLength(50)
param consumerGroupName string

@description('Partitions of the hub.')
@minValue(1)
@maxValue(32)
param partitionCount int

@description('How many hours the hub keeps events.')
@minValue(1)
@maxValue(168)
param retentionHours int

@description('Throughput units at first.')
@minValue(1)
@maxValue(40)
param throughputUnits int

@description('Throughput units at most; auto-inflate is on where this is above throughputUnits.')
@minValue(1)
@maxValue(40)
param maximumThroughputUnits int

@description('Whether the namespace spans availability zones.')
param zoneRedundant bool

@description('Rights of the key that Azure Monitor sends with.')
@allowed([
  'Send'
  'Listen'
  'Manage'
])
param diagnosticRuleRights array

var autoInflate = maximumThroughputUnits > throughputUnits

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: {
    // Basic has neither consumer groups of one's own nor auto-inflate.
    name: 'Standard'
    tier: 'Standard'
    capacity: throughputUnits
  }
  properties: {
    minimumTlsVersion: '1.2'
    isAutoInflateEnabled: autoInflate
    maximumThroughputUnits: autoInflate ? maximumThroughputUnits : 0
    // Off unless asked for when a template makes the namespace, and not to be changed later:
    // azure.github.io/PSRule.Rules.Azure/en/rules/Azure.EventHub.AvailabilityZone
    zoneRedundant: zoneRedundant
    // A diagnostic setting sends with a shared access key and knows no other way: its type has
    // `eventHubAuthorizationRuleId` alone (Azure/bicep-types-az, microsoft.aadiam; MicrosoftDocs/azure-docs, "Need
    // documentation that Streaming Logs to Event Hubs require that local auth be enabled"). So local auth stays on.
    disableLocalAuth: false
    // Azure Monitor sends from addresses that are not known beforehand. Whoever closes this needs a network rule set
    // with `trustedServiceAccessEnabled` (MicrosoftDocs/azure-monitor-docs, platform/diagnostic-settings.md) and a
    // private endpoint for the function app.
    publicNetworkAccess: 'Enabled'
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
  parent: namespace
  name: hubName
  properties: {
    partitionCount: partitionCount
    retentionDescription: {
      // Azure Monitor sends without a partition key, which a compacted hub would refuse (same page).
      cleanupPolicy: 'Delete'
      retentionTimeInHours: retentionHours
    }
  }
}

// One of its own, so that another reader of $Default and spwatch take no partitions from one another.
resource consumerGroup 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = {
  parent: hub
  name: consumerGroupName
}

// What the diagnostic setting wants, as far as public sources say:
// - Scope: a rule of the namespace. One of the hub was refused: "Expected types are …
//   'microsoft.eventhub/namespaces/authorizationrules'" (Azure/azure-policy, "eventhubauthorizationruleID error in
//   deploy-eventhub-diagnostic-setting-for-keyvault"), though an example of Entra's own settings has one
//   (pulumi.com/registry/packages/azure-native/api-docs/aadiam/diagnosticsetting). It can send to every hub of this
//   namespace, which is why the namespace has no other.
// - Rights: the page of Azure Monitor asks for Manage, Send and Listen
//   (learn.microsoft.com/azure/azure-monitor/platform/diagnostic-settings#destinations). The service's own refusal
//   says when: "If a valid EventHub name is not specified in the diagnostic setting, the EventHub authorization rule
//   requires manage|send|listen access" (Azure/azure-cli, "Managed HSM - Diagnostic settings - event hub - AZ cli"),
//   since it makes the hub itself then. We name the hub, so Send is tried first. Not tried in Azure: whether Entra's
//   setting judges by the same rule. Where it refuses, set `diagnosticRuleRights` to all three.
resource diagnosticRule 'Microsoft.EventHub/namespaces/authorizationRules@2024-01-01' = {
  parent: namespace
  name: 'entra-diagnostics'
  properties: {
    rights: diagnosticRuleRights
  }
}

@description('Id of the namespace.')
output namespaceId string = namespace.id

@description('Host name of the namespace.')
output fullyQualifiedNamespace string = '${namespace.name}.servicebus.windows.net'

@description('Name of the namespace.')
output namespaceName string = namespace.name

@description('Name of the hub.')
output hubName string = hub.name

@description('Name of the consumer group.')
output consumerGroupName string = consumerGroup.name

@description('Id of the authorization rule that the diagnostic setting names. It is no key.')
output authorizationRuleId string = diagnosticRule.id
